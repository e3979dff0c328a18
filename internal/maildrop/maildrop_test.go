package maildrop_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/address"
	"postrider/internal/maildrop"
	"postrider/queue"
)

// taken is what a test's accepting function saw.
type taken struct {
	header maildrop.Header
	uid    int
	size   int64
	time   time.Time
	body   string
}

// box is a maildrop with its reader and what came out of it.
type box struct {
	dir, quarantine string
	reader          *maildrop.Reader
	log             bytes.Buffer

	mu    sync.Mutex
	taken []taken
	fail  error
}

func newBox(t *testing.T) *box {
	t.Helper()
	spool := t.TempDir()
	b := &box{dir: filepath.Join(spool, "maildrop"), quarantine: filepath.Join(spool, "quarantine")}
	for dir, mode := range map[string]os.FileMode{b.dir: 0o733 | os.ModeSetgid | os.ModeSticky, b.quarantine: 0o700} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
	}
	b.reader = &maildrop.Reader{Dir: b.dir, Quarantine: b.quarantine, Accept: b.accept,
		Logger: slog.New(slog.NewTextHandler(&b.log, nil))}
	return b
}

func (b *box) accept(_ context.Context, d *maildrop.Drop) error {
	body, err := io.ReadAll(d)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		return b.fail
	}
	b.taken = append(b.taken, taken{d.Header, d.UID, d.Size, d.Time, string(body)})
	return nil
}

func (b *box) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.taken)
}

func (b *box) scan(t *testing.T) int {
	t.Helper()
	n, err := b.reader.Scan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (b *box) names(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func (b *box) write(t *testing.T, body string) {
	t.Helper()
	if err := maildrop.Write(t.Context(), b.dir, simple(), strings.NewReader(body)); err != nil {
		t.Fatal(err)
	}
}

func simple() maildrop.Header {
	return maildrop.Header{SID: "0123456789ABCDEF", Sender: address.Address{Local: "a", Domain: "x.example"},
		Recipients: []queue.Recipient{{Address: address.Address{Local: "b", Domain: "y.example"}}}}
}

func TestRoundTrip(t *testing.T) {
	full := maildrop.Header{
		SID: "SID00000000000000001", Raw: true,
		Sender: address.Address{Local: `odd "one" \ ` + "\xff\n", Domain: "x.example"},
		Recipients: []queue.Recipient{
			{Address: address.Address{Local: "b", Domain: "y.example"}, Notify: queue.NotifySuccess | queue.NotifyDelay, Original: "rfc822;b@z"},
			{Address: address.Address{Local: "jörg", Domain: "[IPv6:2001:db8::1]"}, Notify: queue.NotifyNever},
			{Address: address.Address{Local: "bare"}},
		},
		EnvID: "id with blank", Ret: queue.RetHeaders, Body: queue.Body8BitMIME, SMTPUTF8: true,
	}
	null := simple()
	null.Sender = address.Address{}
	for name, tc := range map[string]struct {
		header maildrop.Header
		body   string
	}{
		"all fields":  {full, "Subject: x\n\nbody\x00\r\n"},
		"null sender": {null, "Subject: x\n\n"},
		"empty body":  {simple(), ""},
		"long body":   {simple(), strings.Repeat("0123456789\n", 300_000)},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			before := time.Now().Add(-time.Second)
			if err := maildrop.Write(t.Context(), b.dir, tc.header, strings.NewReader(tc.body)); err != nil {
				t.Fatal(err)
			}
			if n := b.scan(t); n != 1 {
				t.Fatalf("took %d files, want 1; log: %s", n, &b.log)
			}
			got := b.taken[0]
			if !reflect.DeepEqual(got.header, tc.header) {
				t.Errorf("header is\n%+v, want\n%+v", got.header, tc.header)
			}
			if got.body != tc.body || got.size != int64(len(tc.body)) {
				t.Errorf("body of %d bytes (size %d) differs from the %d written", len(got.body), got.size, len(tc.body))
			}
			if got.uid != os.Getuid() || got.time.Before(before) || got.time.After(time.Now().Add(time.Second)) {
				t.Errorf("uid %d, time %v: not the kernel's word", got.uid, got.time)
			}
			if names := b.names(t); len(names) != 0 {
				t.Errorf("left in the directory: %v", names)
			}
		})
	}
}

func TestFileIsReadableByTheGroupWhateverTheUmask(t *testing.T) {
	b := newBox(t)
	old := unix.Umask(0o777)
	b.write(t, "x\n")
	unix.Umask(old)
	st, err := os.Stat(filepath.Join(b.dir, b.names(t)[0]))
	if err != nil {
		t.Fatal(err)
	}
	if st.Mode().Perm() != 0o640 {
		t.Errorf("mode is %v, want 0640", st.Mode())
	}
}

// failingReader fails after some bytes.
type failingReader struct{ n int }

func (f *failingReader) Read(p []byte) (int, error) {
	if f.n == 0 {
		return 0, errors.New("no more")
	}
	n := min(len(p), f.n)
	f.n -= n
	return n, nil
}

func TestFailedWriteLeavesNothing(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, write := range map[string]func(dir string) error{
		"input fails": func(dir string) error {
			return maildrop.Write(t.Context(), dir, simple(), &failingReader{100_000})
		},
		"context ends": func(dir string) error {
			return maildrop.Write(cancelled, dir, simple(), strings.NewReader("x"))
		},
		"no such directory": func(dir string) error {
			return maildrop.Write(t.Context(), filepath.Join(dir, "none"), simple(), strings.NewReader("x"))
		},
		"envelope too long": func(dir string) error {
			h := simple()
			h.EnvID = strings.Repeat("x", 9<<20)
			return maildrop.Write(t.Context(), dir, h, strings.NewReader("x"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			if err := write(b.dir); err == nil {
				t.Fatal("no error")
			}
			if names := b.names(t); len(names) != 0 {
				t.Errorf("left behind: %v", names)
			}
		})
	}
}

func TestDamagedFilesGoToQuarantine(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil  func(t *testing.T, b *box, path string)
		reason string
	}{
		"cut short":       {func(t *testing.T, _ *box, p string) { must(t, os.Truncate(p, 150)) }, "claims"},
		"cut in preamble": {func(t *testing.T, _ *box, p string) { must(t, os.Truncate(p, 20)) }, "cut short"},
		"empty":           {func(t *testing.T, _ *box, p string) { must(t, os.Truncate(p, 0)) }, "cut short"},
		"longer":          {func(t *testing.T, _ *box, p string) { appendTo(t, p, "x") }, "claims"},
		"other body":      {func(t *testing.T, _ *box, p string) { overwrite(t, p, -2, "X") }, "checksum"},
		"other envelope":  {func(t *testing.T, _ *box, p string) { overwrite(t, p, 70, "X") }, "checksum"},
		"other version":   {func(t *testing.T, _ *box, p string) { overwrite(t, p, 15, "2") }, "version"},
		"no such key":     {func(t *testing.T, _ *box, p string) { overwrite(t, p, 60, "X") }, "unknown key"},
		"no preamble":     {func(t *testing.T, _ *box, p string) { overwrite(t, p, 0, string(make([]byte, 60))) }, "version"},
		"second name":     {func(t *testing.T, _ *box, p string) { must(t, os.Link(p, p+"-2")) }, "names"},
		"symbolic link": {func(t *testing.T, b *box, p string) {
			must(t, os.Rename(p, filepath.Join(b.quarantine, "..", "elsewhere")))
			must(t, os.Symlink("../elsewhere", p))
		}, "symbolic links"},
		"FIFO": {func(t *testing.T, _ *box, p string) {
			must(t, os.Remove(p))
			must(t, unix.Mkfifo(p, 0o666))
		}, "not a plain file"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			b.write(t, strings.Repeat("line\n", 100))
			tc.spoil(t, b, filepath.Join(b.dir, b.names(t)[0]))
			if n := b.scan(t); n != 0 || len(b.taken) != 0 {
				t.Fatalf("%d messages were accepted", len(b.taken))
			}
			if names := b.names(t); len(names) != 0 {
				t.Errorf("still in the maildrop: %v", names)
			}
			found, err := maildrop.Quarantined(b.quarantine)
			if err != nil || len(found) == 0 {
				t.Fatalf("quarantine holds %v, error %v", found, err)
			}
			if !strings.Contains(found[0].Reason, tc.reason) || found[0].UID != os.Getuid() {
				t.Errorf("reason %q of uid %d does not speak of %q", found[0].Reason, found[0].UID, tc.reason)
			}
		})
	}
}

func TestRefusedMessageGoesToQuarantine(t *testing.T) {
	b := newBox(t)
	b.write(t, "x\n")
	b.fail = fmt.Errorf("%w: too large for us", maildrop.ErrRefused)
	b.scan(t)
	found, err := maildrop.Quarantined(b.quarantine)
	if err != nil || len(found) != 1 || !strings.Contains(found[0].Reason, "too large for us") {
		t.Fatalf("quarantine holds %+v, error %v", found, err)
	}
}

func TestFilesStayWhenTheQueueIsInTrouble(t *testing.T) {
	for name, tc := range map[string]struct {
		fail  error
		stops bool
	}{
		"no space":      {queue.ErrNoSpace, true},
		"store failed":  {fmt.Errorf("commit: %w", queue.ErrFailed), true},
		"only this one": {errors.New("something about this one"), false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			b.write(t, "x\n")
			b.fail = tc.fail
			n, err := b.reader.Scan(t.Context())
			if n != 0 || tc.stops != errors.Is(err, tc.fail) {
				t.Fatalf("Scan gave %d, %v", n, err)
			}
			if names := b.names(t); len(names) != 1 {
				t.Fatalf("maildrop holds %v", names)
			}
			b.fail = nil
			if n := b.scan(t); n != 1 {
				t.Errorf("second scan took %d", n)
			}
		})
	}
}

func TestUnfinishedAndForeignFiles(t *testing.T) {
	b := newBox(t)
	now := time.Now()
	for name, age := range map[string]time.Duration{"tmp-old": 25 * time.Hour, "tmp-new": time.Hour, "unrelated": 99 * time.Hour} {
		path := filepath.Join(b.dir, name)
		must(t, os.WriteFile(path, []byte("half"), 0o600))
		must(t, os.Chtimes(path, now, now.Add(-age)))
	}
	if n := b.scan(t); n != 0 {
		t.Errorf("took %d", n)
	}
	if got, want := b.names(t), []string{"tmp-new", "unrelated"}; !reflect.DeepEqual(got, want) {
		t.Errorf("left are %v, want %v", got, want)
	}
}

func TestRunTakesWhatArrives(t *testing.T) {
	b := newBox(t)
	b.write(t, "before\n")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); b.reader.Run(ctx) }()
	waitFor(t, func() bool { return b.count() == 1 })
	for i := range 20 {
		b.write(t, fmt.Sprintf("message %d\n", i))
	}
	waitFor(t, func() bool { return b.count() == 21 })
	cancel()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Fatal("Run does not end with its context")
	}
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatal("it does not happen")
		}
		time.Sleep(time.Millisecond)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	defer f.Close()
	_, err = f.WriteString(text)
	must(t, err)
}

// overwrite puts text at an offset, from the end if negative.
func overwrite(t *testing.T, path string, offset int64, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	whence := io.SeekStart
	if offset < 0 {
		whence = io.SeekEnd
	}
	_, err = f.Seek(offset, whence)
	must(t, err)
	_, err = f.WriteString(text)
	must(t, err)
}

func FuzzDropFile(f *testing.F) {
	dir := f.TempDir()
	h := simple()
	h.Recipients[0].Notify, h.Recipients[0].Original = queue.NotifySuccess, "rfc822;x@y"
	if err := maildrop.Write(f.Context(), dir, h, strings.NewReader("Subject: s\n\nbody\n")); err != nil {
		f.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		f.Fatal(entries, err)
	}
	whole, err := os.ReadFile(filepath.Join(dir, entries[0].Name()))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:40])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, content []byte) {
		b := newBox(t)
		must(t, os.WriteFile(filepath.Join(b.dir, "drop-1"), content, 0o600))
		b.scan(t)
		if names := b.names(t); len(names) != 0 {
			t.Fatalf("neither taken nor put away: %v", names)
		}
		// What was taken must survive being written again.
		for _, got := range b.taken {
			again := newBox(t)
			must(t, maildrop.Write(t.Context(), again.dir, got.header, strings.NewReader(got.body)))
			again.scan(t)
			if len(again.taken) != 1 || !reflect.DeepEqual(again.taken[0].header, got.header) || again.taken[0].body != got.body {
				t.Fatalf("%+v came back as %+v", got, again.taken)
			}
		}
	})
}
