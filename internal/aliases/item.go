package aliases

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"postrider/internal/address"
)

// ItemKind tells what an entry of an alias file names.
type ItemKind uint8

// The kinds of item.
const (
	ItemAddress ItemKind = iota // an address, or a name to look up
	ItemMailbox                 // "\name": the mailbox of a user
	ItemFile                    // "/path"
	ItemCommand                 // "|command"
	ItemInclude                 // ":include:/path"
	ItemBad                     // what cannot be read
)

// Item is one member of the right side of an alias, of a .forward or of an
// include file.
type Item struct {
	Kind ItemKind
	// Address of ItemAddress and ItemMailbox; a bare name has no domain.
	Address address.Address
	// Value is a path, a command line, or the text of ItemBad made printable.
	Value string
	// Problem says what is wrong with an ItemBad.
	Problem string
	// Line it stands in, counted from 1.
	Line int
}

// Limits of what a Value can be on this kind of system, in bytes.
const (
	maxPath    = 4095
	maxCommand = 64 << 10
)

const includePrefix = ":include:"

// String writes the item as it can be read again.
func (it Item) String() string {
	switch it.Kind {
	case ItemMailbox:
		return `\` + it.Address.String()
	case ItemFile:
		return quoteIf(!isPlain(it.Value), it.Value)
	case ItemCommand:
		return quoteIf(true, "|"+it.Value)
	case ItemInclude:
		return quoteIf(!isPlain(it.Value), includePrefix+it.Value)
	case ItemBad:
		return it.Value
	}
	text := it.Address.String()
	if strings.IndexByte(`|/#`, text[0]) < 0 {
		return text
	}
	// Quoted, since it would be something else at the start of a member.
	local := quoteIf(true, it.Address.Local)
	if it.Address.Domain == "" {
		return local
	}
	return local + "@" + it.Address.Domain
}

func quoteIf(needed bool, s string) string {
	if !needed {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// isPlain reports whether a path needs no quotes.
func isPlain(path string) bool { return !strings.ContainsAny(path, " \t,\"\\") }

// special makes an item of text that is not an address once its quotes are gone.
func special(text string) (Item, bool) {
	switch {
	case strings.HasPrefix(text, "|"):
		return checked(Item{Kind: ItemCommand, Value: strings.TrimSpace(text[1:])}), true
	case strings.HasPrefix(text, "/"):
		return checked(Item{Kind: ItemFile, Value: strings.TrimSpace(text)}), true
	case hasIncludePrefix(text):
		return checked(Item{Kind: ItemInclude, Value: strings.TrimSpace(text[len(includePrefix):])}), true
	}
	return Item{}, false
}

func hasIncludePrefix(text string) bool {
	return len(text) >= len(includePrefix) && strings.EqualFold(text[:len(includePrefix)], includePrefix)
}

// checked turns an item whose value nothing can be done with into a bad one.
func checked(it Item) Item {
	text := it.Value
	switch it.Kind {
	case ItemCommand:
		text = "|" + text
	case ItemInclude:
		text = includePrefix + text
	}
	if problem := problemOf(it); problem != "" {
		return bad(text, problem)
	}
	return it
}

func problemOf(it Item) string {
	switch {
	case it.Kind == ItemCommand && it.Value == "":
		return "no command follows the bar"
	case it.Kind == ItemCommand && len(it.Value) > maxCommand:
		return fmt.Sprintf("the command is longer than %d bytes", maxCommand)
	case it.Kind == ItemInclude && !strings.HasPrefix(it.Value, "/"):
		return "the path of an include file must start with /"
	case it.Kind != ItemCommand && len(it.Value) > maxPath:
		return fmt.Sprintf("the path is longer than %d bytes", maxPath)
	case it.Kind == ItemFile && strings.HasSuffix(it.Value, "/"):
		return "names a directory: write the path of a file"
	case !utf8.ValidString(it.Value):
		return "is not valid UTF-8"
	case strings.ContainsFunc(it.Value, func(r rune) bool { return r != '\t' && unicode.IsControl(r) }):
		return "contains a control character"
	}
	return ""
}

func bad(text, problem string) Item {
	return Item{Kind: ItemBad, Value: printable(text), Problem: problem}
}

// printable makes text fit for a message to people.
func printable(s string) string {
	const most = 200
	if len(s) > most {
		s = s[:most] + "..."
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(strings.TrimSpace(s), "?"))
}
