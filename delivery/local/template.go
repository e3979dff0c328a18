package local

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
)

// supported ends every error about a template.
const supported = `supported are "mbox:PATH" with {user}, {home} and {domain}, for example "mbox:/var/mail/{user}", and "off"`

// template is where mailboxes are.
type template struct {
	off  bool
	home bool // the path begins with {home}
	path string
}

var placeholder = regexp.MustCompile(`\{[^}]*\}?`)

func parseTemplate(s string) (template, error) {
	if s == "off" {
		return template{off: true}, nil
	}
	path, ok := strings.CutPrefix(s, "mbox:")
	if !ok {
		return template{}, fmt.Errorf("mailbox %q: %s", s, supported)
	}
	for _, p := range placeholder.FindAllString(path, -1) {
		if p != "{user}" && p != "{home}" && p != "{domain}" {
			return template{}, fmt.Errorf("mailbox %q: unknown placeholder %q; %s", s, p, supported)
		}
	}
	t := template{path: path, home: strings.HasPrefix(path, "{home}/")}
	switch {
	case !t.home && !strings.HasPrefix(path, "/"):
		return template{}, fmt.Errorf("mailbox %q: the path must begin with / or {home}/; %s", s, supported)
	case strings.LastIndex(path, "{home}") > 0:
		return template{}, fmt.Errorf("mailbox %q: {home} can only begin the path; %s", s, supported)
	case !t.home && !strings.Contains(path, "{user}"):
		return template{}, fmt.Errorf("mailbox %q: without {user} or {home} all users would share one file; %s", s, supported)
	case strings.HasSuffix(path, "/"):
		return template{}, fmt.Errorf("mailbox %q: the path must name a file; %s", s, supported)
	}
	return t, nil
}

// expand gives the path of a user's mailbox.
func (t template) expand(u *User, domain string) (string, error) {
	domain = strings.ToLower(domain)
	if strings.Contains(t.path, "{domain}") && !safeName(domain) {
		return "", failed("5.1.2", fmt.Sprintf("domain %q cannot be part of a path", domain))
	}
	if t.home && !filepath.IsAbs(u.Home) {
		return "", temporary("4.3.5", fmt.Sprintf("user %s has no home directory: give the account one, or keep mailboxes elsewhere", u.Name))
	}
	// One pass: what is put in is never expanded again.
	path := strings.NewReplacer("{user}", u.Name, "{home}", u.Home, "{domain}", domain).Replace(t.path)
	return filepath.Clean(path), nil
}
