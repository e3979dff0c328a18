package policy

import (
	"errors"
	"fmt"
	"strings"

	"postrider/internal/address"
)

// Masquerade says that a sender's address is written as another one.
type Masquerade struct {
	// Match is what it is for: "user@example.com", "*@host.example.com",
	// "*@.example.com" for all domains below, or "*".
	Match string
	// To is what it becomes; "*@example.com" keeps the local part.
	To string
}

// Masquerades rewrites sender addresses. It does not change and is safe for
// concurrent use; nil rewrites nothing.
type Masquerades struct {
	list []masquerade
}

// masquerade is a Masquerade that was read. The local part "*" stands for any.
type masquerade struct {
	all    bool
	match  address.Address // its domain as DomainKey, or with a dot before it
	to     address.Address
	toSame bool // keeps the local part
}

// NewMasquerades checks the list; the error names the entry that is wrong.
func NewMasquerades(list []Masquerade) (*Masquerades, error) {
	m := &Masquerades{}
	for _, entry := range list {
		read, err := entry.read()
		if err != nil {
			return nil, fmt.Errorf("masquerade of %q to %q: %w", entry.Match, entry.To, err)
		}
		m.list = append(m.list, read)
	}
	return m, nil
}

func (e Masquerade) read() (m masquerade, err error) {
	if m.all = e.Match == "*"; !m.all {
		local, domain, _ := cutLast(e.Match, '@')
		below, isBelow := strings.CutPrefix(domain, ".")
		if m.match, err = readAddress(local, below); err != nil {
			return m, fmt.Errorf("match is none of user@example.com, *@example.com, *@.example.com and *: %w", err)
		}
		if m.match.Domain = m.match.DomainKey(); isBelow {
			m.match.Domain = "." + m.match.Domain
		}
	}
	local, domain, _ := cutLast(e.To, '@')
	if m.to, err = readAddress(local, domain); err == nil && !m.to.LocalIsASCII() {
		err = errors.New("local part is not ASCII, which few hosts take")
	}
	if err == nil {
		// Hosts without SMTPUTF8 have to take the message.
		m.to, err = m.to.ASCII()
	}
	if err != nil {
		return m, fmt.Errorf("to is neither user@example.com nor *@example.com: %w", err)
	}
	m.toSame = local == "*"
	return m, nil
}

// readAddress reads an address without comments or blanks; both parts must be there.
func readAddress(local, domain string) (address.Address, error) {
	if local == "" || domain == "" {
		return address.Address{}, errors.New("user or domain is missing")
	}
	if local != "*" && strings.Contains(local, "*") {
		return address.Address{}, errors.New("* stands for a whole local part only")
	}
	return address.ParsePath(local + "@" + domain)
}

// Rewrite gives what a sender's address becomes, by the first entry that matches,
// and whether that differs. The null address stays null.
func (m *Masquerades) Rewrite(a address.Address) (address.Address, bool) {
	if m == nil || a.IsNull() {
		return a, false
	}
	for _, e := range m.list {
		if !e.matches(a) {
			continue
		}
		to := e.to
		if e.toSame {
			to.Local = a.Local
		}
		return to, to != a
	}
	return a, false
}

func (e *masquerade) matches(a address.Address) bool {
	if e.all {
		return true
	}
	return matchDomain(e.match.Domain, a.DomainKey()) &&
		(e.match.Local == "*" || strings.EqualFold(e.match.Local, a.Local))
}
