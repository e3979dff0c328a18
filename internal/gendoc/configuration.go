package main

import (
	"bytes"
	"fmt"
	"strings"
)

func markdown(tables []table) []byte {
	var b bytes.Buffer
	b.WriteString(`# Configuration

postrider reads ` + "`/etc/postrider/postrider.toml`" + `, or the file named with ` + "`-C`" + ` or in the
environment variable ` + "`POSTRIDER_CONFIG`" + `. Every key is optional: without a file, mail goes
straight to the MX hosts of its recipients, and to mailboxes of this host for local ones.

An unknown key is an error that names the file, the line, the key and the nearest known one.
` + "`POSTRIDER_<TABLE>_<KEY>`" + ` in the environment overrides the file; a list is written with commas;
of a table that may occur several times the first is meant. ` + "`postrider config show`" + ` prints
what is in effect and where it came from. The daemon rereads the file on SIGHUP; if it is wrong,
the old configuration stays in effect.

Time spans are written as 90s, 5m, 4h, 5d; sizes as 50MiB, 10MB or a number of bytes.

This page is generated from internal/config/config.go.
`)
	for _, t := range tables {
		fmt.Fprintf(&b, "\n## %s\n\n", t.heading())
		if t.name != "" {
			fmt.Fprintf(&b, "%s\n\n", about(t.doc))
		}
		b.WriteString("| key | type | default | meaning |\n|---|---|---|---|\n")
		for _, k := range t.keys {
			fallback := "–"
			if k.fallback != "" {
				fallback = "`" + k.fallback + "`"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.name, k.kind, fallback, strings.ReplaceAll(flat(k.doc), "|", "\\|"))
		}
	}
	return b.Bytes()
}

// sample is the commented default configuration.
func sample(tables []table) []byte {
	var b bytes.Buffer
	b.WriteString("# postrider's configuration. Every key is optional; what is commented out shows the\n# default or an example. \"postrider config check\" says whether the file is right.\n")
	for _, t := range tables {
		b.WriteByte('\n')
		if t.name != "" {
			comment(&b, about(t.doc))
			fmt.Fprintf(&b, "# %s\n", t.heading())
		}
		for _, k := range t.keys {
			comment(&b, flat(k.doc))
			fmt.Fprintf(&b, "# %s = %s\n", k.name, example(k))
		}
	}
	return b.Bytes()
}

func example(k key) string {
	switch {
	case k.fallback != "":
		return k.fallback
	case k.kind == "list of texts":
		return "[]"
	}
	return `""`
}

func comment(b *bytes.Buffer, text string) {
	line := "#"
	for word := range strings.FieldsSeq(text) {
		if len(line)+len(word) > 86 {
			b.WriteString(line + "\n")
			line = "#"
		}
		line += " " + word
	}
	b.WriteString(line + "\n")
}
