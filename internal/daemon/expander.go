package daemon

import (
	"context"

	"postrider/delivery/local"
	"postrider/internal/address"
	"postrider/internal/aliases"
	"postrider/internal/config"
	"postrider/policy"
	"postrider/queue"
)

// newExpander makes what says where local addresses lead.
func newExpander(cfg *config.Config, routes *policy.Routes, boxes *mailboxes) *aliases.Expander {
	return &aliases.Expander{
		Table:       aliases.NewFiles(cfg.Local.Aliases).Table,
		IsLocal:     func(a address.Address) bool { return a.Domain == "" || routes.IsLocal(a) },
		Origin:      cfg.Origin,
		Delimiter:   cfg.Local.Delimiter,
		LookupUser:  lookupUser,
		SystemUsers: cfg.Local.SystemUsers,
		Include: func(ctx context.Context, owner, path string) (string, *aliases.Refusal) {
			if owner == "" {
				return aliases.ReadInclude(path)
			}
			return included(boxes.Include(ctx, owner, path))
		},
	}
}

func lookupUser(name string) (*aliases.User, error) {
	u, err := local.LookupUser(name)
	if u == nil || err != nil {
		return nil, err
	}
	return &aliases.User{Name: u.Name, UID: u.UID, Home: u.Home}, nil
}

// included takes over how reading a user's include file went.
func included(o local.Outcome) (string, *aliases.Refusal) {
	if o.Result == queue.Expanded {
		return o.Forward, nil
	}
	return "", &aliases.Refusal{Temporary: o.Result == queue.Temporary, Status: o.Status, Text: o.Text}
}
