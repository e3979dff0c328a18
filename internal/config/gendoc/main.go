// Command gendoc writes docs/configuration.md and contrib/postrider.toml from the
// declarations in package config, or with -check says whether they are current.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strconv"
	"strings"
)

const source = "internal/config/config.go"

func main() {
	check := flag.Bool("check", false, "fail if a generated file is not current")
	flag.Parse()
	if err := run(*check); err != nil {
		fmt.Fprintln(os.Stderr, "gendoc:", err)
		os.Exit(1)
	}
}

func run(check bool) error {
	tables, err := parse(source)
	if err != nil {
		return err
	}
	for path, text := range map[string][]byte{
		"docs/configuration.md":  markdown(tables),
		"contrib/postrider.toml": sample(tables),
	} {
		if err := put(path, text, check); err != nil {
			return err
		}
	}
	return nil
}

func put(path string, text []byte, check bool) error {
	if !check {
		return os.WriteFile(path, text, 0o644)
	}
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !bytes.Equal(old, text) {
		return fmt.Errorf("%s is not current; run: make docs", path)
	}
	return nil
}

// table is one struct of the configuration.
type table struct {
	name string // in the file; empty for the top
	list bool   // may occur several times
	doc  string
	keys []key
}

type key struct {
	name, doc, kind, fallback, choices string
}

// parse reads the structs in the order in which Config refers to them.
func parse(path string) ([]table, error) {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	structs := map[string]*ast.GenDecl{}
	for _, d := range file.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.TYPE {
			structs[g.Specs[0].(*ast.TypeSpec).Name.Name] = g
		}
	}
	return walk(structs, "Config", "", false), nil
}

func walk(structs map[string]*ast.GenDecl, typeName, name string, list bool) []table {
	decl := structs[typeName]
	t := table{name: name, list: list, doc: decl.Doc.Text()}
	var below []table
	for _, f := range decl.Specs[0].(*ast.TypeSpec).Type.(*ast.StructType).Fields.List {
		if f.Tag == nil {
			continue
		}
		raw, _ := strconv.Unquote(f.Tag.Value)
		tag := reflect.StructTag(raw)
		goType, isList := typeOf(f.Type)
		if structs[goType] != nil && goType != "Duration" && goType != "Size" {
			below = append(below, walk(structs, goType, prefixed(name, tag.Get("toml")), isList)...)
			continue
		}
		t.keys = append(t.keys, newKey(f, tag, goType, isList))
	}
	return append([]table{t}, below...)
}

func prefixed(table, name string) string {
	if table == "" {
		return name
	}
	return table + "." + name
}

func typeOf(e ast.Expr) (name string, list bool) {
	if a, ok := e.(*ast.ArrayType); ok {
		name, _ = typeOf(a.Elt)
		return name, true
	}
	return e.(*ast.Ident).Name, false
}

func newKey(f *ast.Field, tag reflect.StructTag, goType string, list bool) key {
	kinds := map[string]string{"string": "text", "bool": "true or false", "int": "number", "Duration": "time span", "Size": "size"}
	k := key{name: tag.Get("toml"), doc: f.Doc.Text(), kind: kinds[goType]}
	if list {
		k.kind = "list of texts"
	}
	if check := tag.Get("check"); strings.Contains(check, "|") {
		k.choices = check
	}
	if text, ok := tag.Lookup("default"); ok {
		k.fallback = literal(text, goType, list)
	}
	return k
}

func literal(text, goType string, list bool) string {
	switch {
	case list:
		quoted := strings.Split(text, ",")
		for i := range quoted {
			quoted[i] = strconv.Quote(quoted[i])
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	case goType == "bool" || goType == "int":
		return text
	}
	return strconv.Quote(text)
}

func (t table) heading() string {
	switch {
	case t.name == "":
		return "Top of the file"
	case t.list:
		return "[[" + t.name + "]]"
	}
	return "[" + t.name + "]"
}

func flat(doc string) string { return strings.Join(strings.Fields(doc), " ") }

// about strips the Go name from the front of a type's comment.
func about(doc string) string {
	text := flat(doc)
	if _, rest, ok := strings.Cut(text, " "); ok {
		return strings.ToUpper(rest[:1]) + rest[1:]
	}
	return text
}

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
