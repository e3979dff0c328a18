package aliases

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"postrider/internal/address"
)

// Table holds what alias files say. It does not change.
type Table struct {
	entries map[string]*entry
}

// entry is one alias.
type entry struct {
	key   string // as foldKey makes it
	file  string
	line  int
	items []Item
}

// foldKey is how names are compared: without regard to case.
func foldKey(name string) string { return strings.ToLower(name) }

// Lookup gives the right side of the alias of this name, without regard to case;
// an extension is part of the name here.
func (t *Table) Lookup(name string) (targets []Item, ok bool) {
	e := t.find(name)
	if e == nil {
		return nil, false
	}
	return e.items, true
}

// Len is the number of aliases.
func (t *Table) Len() int { return len(t.entries) }

func (t *Table) find(name string) *entry { return t.entries[foldKey(name)] }

// Problem is one thing wrong in a file.
type Problem struct {
	File string
	Line int
	Text string
}

// String puts the place first, as compilers do.
func (p Problem) String() string { return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text) }

// parseTable reads the text of an alias file (aliases(5)). What is wrong is told
// to report; a line without a name or a target is left out, and an alias with a
// bad target keeps it as ItemBad next to the others.
func parseTable(file, text string, report func(Problem)) map[string]*entry {
	entries := make(map[string]*entry)
	say := func(line int, format string, args ...any) {
		report(Problem{File: file, Line: line, Text: fmt.Sprintf(format, args...)})
	}
	for l := range logicalLines(text) {
		key, rest, err := splitKey(l.text)
		if err != nil {
			say(l.line(0), "%v", err)
			continue
		}
		e := &entry{key: foldKey(key), file: file, line: l.line(0), items: parseMembers(l.text[rest:])}
		for i := range e.items {
			it := &e.items[i]
			it.Line = l.line(rest + it.Line)
			if it.Kind == ItemBad {
				say(it.Line, "%s: %q: %s", key, it.Value, it.Problem)
			}
		}
		if len(e.items) == 0 {
			say(e.line, "%s: nothing follows the colon; write where its mail goes, or /dev/null for nowhere", key)
			continue
		}
		if first := entries[e.key]; first != nil {
			say(e.line, "warning: %s is listed in line %d already, which holds", key, first.line)
			continue
		}
		entries[e.key] = e
	}
	return entries
}

// splitKey reads the name before the colon and gives the offset behind it.
func splitKey(line string) (name string, rest int, err error) {
	end := keyEnd(line)
	if end < 0 {
		return "", 0, errors.New(`no colon: write "name: target, target"; blanks start a line that continues another`)
	}
	a, err := address.Parse(line[:end])
	switch {
	case errors.Is(err, address.ErrSeveral):
		return "", 0, fmt.Errorf(`%q: a name with blanks must be in quotes`, printable(line[:end]))
	case err != nil:
		return "", 0, fmt.Errorf("name of the alias: %w", err)
	case a.Domain != "":
		return "", 0, fmt.Errorf("%q: the name of an alias has no domain", a)
	}
	return a.Local, end + 1, nil
}

// keyEnd finds the first colon outside quotes, -1 if there is none.
func keyEnd(line string) int {
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case ':':
			return i
		case '\\':
			i++
		case '"':
			_, n, ok := unquote(line[i:])
			if !ok {
				return -1
			}
			i += n - 1
		}
	}
	return -1
}

// logicalLine is a line with those that continue it, line ends removed.
type logicalLine struct {
	text string
	// starts are where the lines it was made of begin in text; numbers, which lines
	// of the file they are.
	starts, numbers []int
}

// line gives the number of the line that holds the byte at offset.
func (l logicalLine) line(offset int) int {
	i, found := slices.BinarySearch(l.starts, offset)
	if !found {
		i--
	}
	return l.numbers[i]
}

// logicalLines yields the lines of an alias file. A blank in front continues the
// line before; empty lines and comments do not count, not even in between.
func logicalLines(text string) func(yield func(logicalLine) bool) {
	return func(yield func(logicalLine) bool) {
		var cur logicalLine
		var b strings.Builder
		flush := func() bool {
			if len(cur.starts) == 0 {
				return true
			}
			cur.text = b.String()
			l := cur
			cur = logicalLine{}
			b.Reset()
			return yield(l)
		}
		for number, line := range physicalLines(text) {
			if line[0] != ' ' && line[0] != '\t' && !flush() {
				return
			}
			cur.starts = append(cur.starts, b.Len())
			cur.numbers = append(cur.numbers, number)
			b.WriteString(line)
		}
		flush()
	}
}

// physicalLines yields the lines that say something, with their numbers.
func physicalLines(text string) func(yield func(int, string) bool) {
	return func(yield func(int, string) bool) {
		text = strings.TrimPrefix(text, "\ufeff")
		number := 0
		for line := range strings.SplitSeq(text, "\n") {
			number++
			line = strings.TrimRight(line, " \t\r")
			if said := strings.TrimLeft(line, " \t"); said == "" || said[0] == '#' {
				continue
			}
			if !yield(number, line) {
				return
			}
		}
	}
}

// parseLines reads the text of a .forward or an include file (forward(5)), where
// every line is a list of its own.
func parseLines(text string) []Item {
	var items []Item
	for number, line := range physicalLines(text) {
		first := len(items)
		items = append(items, parseMembers(line)...)
		for i := first; i < len(items); i++ {
			items[i].Line = number
		}
	}
	return items
}
