package main

import (
	"bytes"
	"embed"
	"fmt"
	"path"
	"strings"
	"text/template"

	"github.com/cpuguy83/go-md2man/v2/md2man"

	"postrider/internal/command"
	"postrider/internal/sendmail"
)

// manDir is where the manual pages go.
const manDir = "contrib/man"

//go:embed pages
var pages embed.FS

// facts are what the pages in prose leave to the declarations.
type facts struct {
	Options []sendmail.OptionDoc
	Tables  []table
}

// manual makes every manual page, by path.
func manual(tables []table) (map[string][]byte, error) {
	files := map[string][]byte{}
	names, err := pages.ReadDir("pages")
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		text, err := prose(n.Name(), facts{sendmail.Options(), tables})
		if err != nil {
			return nil, err
		}
		files[path.Join(manDir, strings.TrimSuffix(n.Name(), ".md"))] = roff(text)
	}
	for name, text := range commandPages(command.Tree()) {
		files[path.Join(manDir, name)] = roff(text)
	}
	return files, nil
}

// prose fills in a page.
func prose(name string, f facts) ([]byte, error) {
	funcs := template.FuncMap{"flat": flat, "about": about, "angle": angle}
	t, err := template.New(name).Funcs(funcs).ParseFS(pages, "pages/"+name)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, f); err != nil {
		return nil, fmt.Errorf("page %s: %w", name, err)
	}
	return b.Bytes(), nil
}

func roff(text []byte) []byte { return append(bytes.TrimSpace(md2man.Render(text)), '\n') }

// angle keeps what stands between angle brackets from being taken for a tag.
func angle(s string) string {
	return strings.NewReplacer("<", "\\<", ">", "\\>", "*", "\\*", "_", "\\_").Replace(s)
}
