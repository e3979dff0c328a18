package local

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// supported ends every error about a template.
const supported = `supported are "mbox:PATH" and "maildir:PATH" with {user}, {home} and {domain}, for example "mbox:/var/mail/{user}"; "lmtp:ADDRESS"; "pipe:COMMAND" with these and {extension}; and "off"`

// template is where something of users is.
type template struct {
	scheme string // mbox, maildir, lmtp, pipe, off
	text   string // path or command
	home   bool   // the path begins with {home}
	words  []string
}

func parseTemplate(s string) (template, error) {
	scheme, text, _ := strings.Cut(s, ":")
	t := template{scheme: scheme, text: text}
	var err error
	switch {
	case s == "off" || scheme == "lmtp":
	case scheme == "mbox", scheme == "maildir":
		err = t.checkPath([]string{"user", "home", "domain"})
	case scheme == "pipe":
		err = t.checkCommand()
	default:
		return template{}, fmt.Errorf("mailbox %q: %s", s, supported)
	}
	if err != nil {
		return template{}, fmt.Errorf("mailbox %q: %w; %s", s, err, supported)
	}
	return t, nil
}

// parseForward takes the path of users' .forward files.
func parseForward(s string) (template, error) {
	if s == "" || s == "off" {
		return template{scheme: "off"}, nil
	}
	t := template{scheme: "mbox", text: s}
	if err := t.checkPath([]string{"user", "home"}); err != nil {
		return template{}, fmt.Errorf(`forward %q: %w; supported are a path with {user} and {home}, for example "{home}/.forward", and "off"`, s, err)
	}
	return t, nil
}

// checkPath makes sure that every user has a path of their own.
func (t *template) checkPath(known []string) error {
	t.home = strings.HasPrefix(t.text, "{home}/")
	if err := checkPlaceholders(t.text, known); err != nil {
		return err
	}
	switch {
	case !t.home && !strings.HasPrefix(t.text, "/"):
		return fmt.Errorf("the path must begin with / or {home}/")
	case strings.LastIndex(t.text, "{home}") > 0:
		return fmt.Errorf("{home} can only begin the path")
	case !t.home && !strings.Contains(t.text, "{user}"):
		return fmt.Errorf("without {user} or {home} all users would share one file")
	case t.scheme == "mbox" && strings.HasSuffix(t.text, "/"):
		return fmt.Errorf("the path must name a file")
	}
	return nil
}

// checkCommand parts the command into words, once and before anything is put in.
func (t *template) checkCommand() error {
	words, simple := split(t.text, "{}")
	switch {
	case !simple:
		return fmt.Errorf("the command takes a shell: put it into a script, or quote it as in /bin/sh -c '...'")
	case !filepath.IsAbs(words[0]):
		return fmt.Errorf("the command must be an absolute path")
	}
	t.words = words
	return checkPlaceholders(t.text, []string{"user", "home", "domain", "extension"})
}

// checkPlaceholders refuses names that nothing is known for, and braces that are
// not closed.
func checkPlaceholders(s string, known []string) error {
	for {
		_, rest, found := strings.Cut(s, "{")
		if !found {
			return nil
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			return fmt.Errorf("unknown placeholder %q", "{"+rest)
		}
		if !slices.Contains(known, name) {
			return fmt.Errorf("unknown placeholder %q", "{"+name+"}")
		}
		s = after
	}
}

// expand gives the path that a user has.
func (t template) expand(u *User, domain string) (string, error) {
	domain = strings.ToLower(domain)
	if strings.Contains(t.text, "{domain}") && !safeName(domain) {
		return "", failed("5.1.2", fmt.Sprintf("domain %q cannot be part of a path", domain))
	}
	if t.home && !filepath.IsAbs(u.Home) {
		return "", temporary("4.3.5", fmt.Sprintf("user %s has no home directory: give the account one, or keep mailboxes elsewhere", u.Name))
	}
	// One pass: what is put in is never expanded again.
	path := strings.NewReplacer("{user}", u.Name, "{home}", u.Home, "{domain}", domain).Replace(t.text)
	return filepath.Clean(path), nil
}

// command gives the words of a user's command. What came with the mail stays in
// its word, and has no characters that a shell further on would act upon.
func (t template) command(u *User, domain, extension string) []string {
	values := strings.NewReplacer("{user}", u.Name, "{home}", u.Home,
		"{domain}", harmless(strings.ToLower(domain)), "{extension}", harmless(extension))
	words := make([]string, len(t.words))
	for i, w := range t.words {
		words[i] = values.Replace(w)
		// What came with the mail is no option.
		if words[i] != w && strings.HasPrefix(words[i], "-") && !strings.HasPrefix(w, "-") {
			words[i] = "_" + words[i][1:]
		}
	}
	return words
}
