package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"postrider/delivery/local"
	"postrider/internal/address"
	"postrider/internal/aliases"
	"postrider/internal/config"
	"postrider/internal/sysexits"
	"postrider/policy"
)

// routeExpander expands as the daemon does, but reads with the rights of who asks.
func routeExpander(c *config.Config, routes *policy.Routes) *aliases.Expander {
	return &aliases.Expander{
		Table:       aliases.NewFiles(c.Local.Aliases).Table,
		IsLocal:     func(a address.Address) bool { return a.Domain == "" || routes.IsLocal(a) },
		Origin:      c.Origin,
		Delimiter:   c.Local.Delimiter,
		SystemUsers: c.Local.SystemUsers,
		LookupUser: func(name string) (*aliases.User, error) {
			u, err := local.LookupUser(name)
			if u == nil || err != nil {
				return nil, err
			}
			return &aliases.User{Name: u.Name, UID: u.UID, Home: u.Home}, nil
		},
		Include: includeForRoute,
	}
}

// includeForRoute reads an include file. One that a .forward names is read at
// delivery with its owner's rights; here only the owner may see what is in it.
func includeForRoute(_ context.Context, owner, path string) (string, *aliases.Refusal) {
	if owner != "" {
		if u, err := local.LookupUser(owner); err != nil || u == nil || u.UID != os.Geteuid() {
			return "", &aliases.Refusal{Temporary: true, Status: "4.3.0", Text: fmt.Sprintf("what %s includes from %s is only shown to %s", owner, path, owner)}
		}
	}
	return aliases.ReadInclude(path)
}

// routeMailboxes knows where users' .forward files are.
func routeMailboxes(c *config.Config) (*local.Mailboxes, error) {
	m, err := local.New(local.Options{
		Template: c.Local.Mailbox, Forward: c.Local.Forward, Delimiter: c.Local.Delimiter, DefaultUser: c.Local.DefaultUser, Hostname: c.Hostname,
	})
	if err != nil {
		return nil, exit(sysexits.Config, "%w", fmt.Errorf("local: %w", err))
	}
	return m, nil
}

// forward reads a user's .forward, if there is one and who asks may read it.
func (t *routeTracer) forward(name string) (text string, ok bool) {
	text, ignored, err := t.mailboxes.PeekForward(name)
	switch {
	case errors.Is(err, fs.ErrPermission):
		t.step("%s: you may not see whether a .forward sends the mail elsewhere; ask as %s or root", name, name)
	case err != nil:
		t.step("%s: .forward cannot be read now: %v", name, err)
	case ignored != "":
		t.step("%s: %s", name, ignored)
	}
	return text, text != ""
}
