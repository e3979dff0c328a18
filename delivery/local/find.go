package local

import "postrider/internal/address"

// Mailbox is where the mail of one recipient goes.
type Mailbox struct {
	// Owner is the user it belongs to.
	Owner User
	// Path of the mbox file, which may not exist yet.
	Path string
	// Group is the gid to deliver with, as the owner: that of "mail" where only
	// root and the account "mail" can rearrange the directories on the way, since
	// users cannot make lock files there; everywhere else the owner's own.
	Group int
}

// Find says where mail to a recipient goes. It looks at directories but at no
// mailbox. If the recipient has none, refused is what Deliver would answer.
func (m *Mailboxes) Find(to address.Address) (box Mailbox, refused *Outcome) {
	u, path, err := m.find(to)
	if err != nil {
		o := outcomeOf(err)
		return Mailbox{}, &o
	}
	box = Mailbox{Owner: *u, Path: path, Group: u.GID}
	if m.mailGID >= 0 && m.guarded(path, u) == nil {
		box.Group = m.mailGID
	}
	return box, nil
}

// find names the user and the path of the mailbox.
func (m *Mailboxes) find(to address.Address) (*User, string, error) {
	if m.template.off {
		return nil, "", failed("5.7.1", "local delivery is off")
	}
	u, err := m.resolve(to.Local)
	if err != nil {
		return nil, "", err
	}
	path, err := m.template.expand(u, to.Domain)
	return u, path, err
}
