package sendmail

import (
	"strings"
)

// OptionDoc documents an option of the command line.
type OptionDoc struct {
	// Flag is the letter, Value the name of its value, empty for none.
	Flag, Value string
	Doc         string
}

// Options documents the options that have a meaning, in the order of the grammar.
func Options() []OptionDoc {
	var list []OptionDoc
	for _, g := range grammar {
		if value, doc, ok := strings.Cut(g.doc, "|"); ok {
			list = append(list, OptionDoc{string(g.letter), value, doc})
		}
	}
	return list
}

// help is what --help prints.
func help() string {
	var b strings.Builder
	b.WriteString(usage + "\n")
	for _, o := range Options() {
		line := "  -" + o.Flag
		if o.Value != "" {
			line += " " + o.Value
		}
		for word := range strings.FieldsSeq(o.Doc) {
			if len(line)+len(word) > 78 {
				b.WriteString(line + "\n")
				line = "     "
			}
			line += " " + word
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}
