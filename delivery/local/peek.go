package local

import "errors"

// PeekForward reads the .forward of a user with the rights of this process, for who
// wants to know where mail would go. The text is empty if there is none that
// counts; ignored says why one that is there does not.
func (m *Mailboxes) PeekForward(user string) (text, ignored string, err error) {
	u, _, err := m.resolve(user)
	if err != nil {
		return "", "", err
	}
	path := m.forwardOf(u)
	if path == "" || absent(path) {
		return "", "", nil
	}
	text, err = readOwn(path, u.UID)
	var broken *brokenRule
	if errors.As(err, &broken) {
		return "", path + " is ignored: " + broken.text, nil
	}
	if err != nil || !saysAnything(text) {
		return "", "", err
	}
	return text, "", nil
}
