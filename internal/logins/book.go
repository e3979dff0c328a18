package logins

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"

	"github.com/xdg-go/scram"
)

// iterations of new hashes: a check takes about 7 ms of one processor. RFC 7677 §4
// asks for 4096 at least and speaks of 15000.
const iterations = 30_000

// Book is the file as those need it who check logins. It is read again when it has
// changed. A Book is safe for concurrent use.
type Book struct {
	path string
	// secret makes up, for names that are not there, hashes that stay the same.
	secret [32]byte

	mu      sync.Mutex
	seen    stamp
	entries map[string]scram.StoredCredentials
}

// stamp tells one state of a file from another.
type stamp struct {
	device, inode  uint64
	size           int64
	changed, wrote syscall.Timespec
	exists         bool
}

// Open gives the book at path; a file that does not exist is one without logins.
func Open(path string) *Book {
	b := &Book{path: path}
	rand.Read(b.secret[:]) // never fails
	return b
}

// Check reads the file if it has changed. An error says what is wrong with it.
func (b *Book) Check() error {
	_, err := b.read()
	return err
}

// Exists reports whether there is a file.
func (b *Book) Exists() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.seen.exists
}

// Knows reports whether there is a login of that name.
func (b *Book) Knows(name string) bool {
	entries, err := b.read()
	_, ok := entries[name]
	return err == nil && ok
}

// Verify reports whether the name has that password. It takes as long for a name
// that is not there. An error means that the file cannot be used.
func (b *Book) Verify(name, password string) (bool, error) {
	c, known, err := b.lookup(name)
	if err != nil {
		return false, err
	}
	got, err := derive(password, c.KeyFactors)
	if err != nil { // the text can be nobody's password
		known = false
		got, err = derive("", c.KeyFactors)
	}
	same := subtle.ConstantTimeCompare(got.StoredKey, c.StoredKey) == 1
	return err == nil && known && same, nil
}

// Conversation begins a dialogue of SCRAM-SHA-256. Of a name that is not there it
// learns only at the end that the proof is wrong.
func (b *Book) Conversation() (*Conversation, error) {
	c := &Conversation{}
	server, err := scram.SHA256.NewServer(func(name string) (scram.StoredCredentials, error) {
		credentials, known, err := b.lookup(name)
		c.known, c.err = known, err
		return credentials, err
	})
	if err != nil {
		return nil, fmt.Errorf("begin %s: %w", scheme, err)
	}
	c.steps = server.NewConversation()
	return c, nil
}

// Conversation is a dialogue of SCRAM-SHA-256, from the side of the server.
type Conversation struct {
	steps *scram.ServerConversation
	known bool
	err   error
}

// Step takes a message of the client and gives the answer. After an error that Err
// does not know the client was wrong.
func (c *Conversation) Step(message string) (string, error) { return c.steps.Step(message) }

// Err says why the file cannot be used.
func (c *Conversation) Err() error { return c.err }

// Name is the login that the client named, once it has.
func (c *Conversation) Name() string { return c.steps.Username() }

// Valid reports whether the client has proved that it knows the password, and
// wants to act as nobody else.
func (c *Conversation) Valid() bool {
	asked := c.steps.AuthzID()
	return c.steps.Valid() && c.known && (asked == "" || asked == c.steps.Username())
}

// lookup gives the hash of a login, or one that no password fits.
func (b *Book) lookup(name string) (scram.StoredCredentials, bool, error) {
	entries, err := b.read()
	if err != nil {
		return scram.StoredCredentials{}, false, err
	}
	if c, ok := entries[name]; ok {
		return c, true, nil
	}
	return scram.StoredCredentials{
		KeyFactors: scram.KeyFactors{Salt: string(b.invent("salt", name)[:saltSize]), Iters: iterations},
		StoredKey:  b.invent("stored", name), ServerKey: b.invent("server", name),
	}, false, nil
}

func (b *Book) invent(what, name string) []byte {
	mac := hmac.New(sha256.New, b.secret[:])
	mac.Write([]byte(what + ":" + name))
	return mac.Sum(nil)
}

// read gives what the file holds now.
func (b *Book) read() (map[string]scram.StoredCredentials, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now, err := stat(b.path)
	if err != nil {
		return nil, err
	}
	if b.entries != nil && now == b.seen {
		return b.entries, nil
	}
	b.entries = nil // what cannot be read any more admits nobody
	lines, err := load(b.path)
	if err != nil {
		return nil, err
	}
	b.entries, b.seen = map[string]scram.StoredCredentials{}, now
	for _, l := range lines {
		if l.name != "" {
			b.entries[l.name] = l.credentials
		}
	}
	return b.entries, nil
}

// stat refuses a file that others could read passwords' hashes from, or write to.
func stat(path string) (stamp, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return stamp{}, nil
	}
	if err != nil {
		return stamp{}, fmt.Errorf("file of logins: %w", err)
	}
	if !info.Mode().IsRegular() {
		return stamp{}, fmt.Errorf("file of logins %s is no regular file; name the one that postrider user keeps", path)
	}
	if mode := info.Mode().Perm(); mode&0o037 != 0 {
		return stamp{}, fmt.Errorf("file of logins %s is open to others (mode %#o); run: chmod 640 %s", path, mode, path)
	}
	s := stamp{size: info.Size(), exists: true}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		s.device, s.inode, s.changed, s.wrote = uint64(st.Dev), st.Ino, st.Ctim, st.Mtim
	}
	return s, nil
}

// load reads the file; one that does not exist has no lines.
func load(path string) ([]line, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("file of logins: %w; give it to the daemon's group with mode 640", err)
	}
	if err != nil {
		return nil, fmt.Errorf("file of logins: %w", err)
	}
	lines, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("file of logins %s: %w", path, err)
	}
	return lines, nil
}
