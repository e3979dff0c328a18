package e2e

import (
	"bytes"
	"encoding/binary"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postrider/internal/smtptest"
)

// daemonFails starts a daemon that cannot run.
func (h *host) daemonFails() result {
	h.t.Helper()
	cmd := h.command(h.user, "postrider", "daemon")
	end := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer end.Stop()
	return run(h.t, cmd)
}

// TestWrongConfiguration: nothing starts with a configuration that cannot be meant,
// and whoever reads the one line knows where to look.
func TestWrongConfiguration(t *testing.T) {
	t.Parallel()
	wrong := map[string]struct {
		text  string
		words []string
	}{
		"unknown key":   {"retry.frist = \"5m\"\n", []string{"postrider.toml:1:", `"retry.frist"`, `did you mean "retry.first"?`}},
		"unknown table": {"hostname = \"host.e2e.test\"\n[delivry]\nport = 25\n", []string{"postrider.toml:2:", `did you mean "delivery`}},
		"syntax":        {"hostname = \"host.e2e.test\"\n\nspool = /var\n", []string{"postrider.toml:3:"}},
		"type":          {"delivery.port = \"smtp\"\n", []string{"postrider.toml:1:", "delivery.port"}},
		"range":         {"delivery.port = 70000\n", []string{"postrider.toml", "delivery.port"}},
		"time span":     {"retry.first = \"5 minutes\"\n", []string{"postrider.toml", "5m"}},
		"choice":        {"tls.default = \"always\"\n", []string{"postrider.toml", "tls.default", "opportunistic"}},
		"smarthost":     {"[[smarthost]]\naddress = \"relay.test:587\"\nusername = \"me\"\n", []string{"postrider.toml", "password_file"}},
	}
	for name, w := range wrong {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, nil)
			h.write("postrider.toml", w.text, 0o644)
			for _, args := range [][]string{
				{"postrider", "daemon"}, {"postrider", "config", "check"}, {"postrider", "config", "show"}, {"postrider", "queue", "list"},
				{"sendmail", "-i", "to@good.test"}, {"sendmail", "-bp"}, {"sendmail", "-q"}, {"mailq"},
			} {
				cmd := h.command(h.user, args[0], args[1:]...)
				cmd.Stdin = strings.NewReader(mail("never"))
				r := run(t, cmd)
				if r.code != 78 || r.stdout != "" {
					t.Errorf("%v: exit %d with output %q, want 78 and none", args, r.code, r.stdout)
				}
				program := "postrider"
				if args[0] == "sendmail" && args[1] == "-i" {
					program = "sendmail"
				}
				oneLine(t, program, r.stderr, w.words...)
			}
		})
	}
}

// TestForeignSpool: what is no spool of ours, or one of a newer program, is left
// exactly as it is; nothing is lost, and once the right file is back mail goes on.
func TestForeignSpool(t *testing.T) {
	t.Parallel()
	foreign := map[string]struct {
		change func(good []byte) []byte
		words  []string
	}{
		"text":    {func([]byte) []byte { return []byte("Dear diary,\n") }, []string{"not a postrider spool", "move it away"}},
		"empty":   {func([]byte) []byte { return nil }, []string{"not a postrider spool", "move it away"}},
		"zeros":   {func([]byte) []byte { return make([]byte, 1<<20) }, []string{"not a postrider spool"}},
		"sqlite":  {func([]byte) []byte { return append([]byte("SQLite format 3\x00"), make([]byte, 8192)...) }, []string{"not a postrider spool"}},
		"cut off": {func(good []byte) []byte { return good[:cutAt] }, []string{"not a postrider spool"}},
		"unmarked": {func(good []byte) []byte {
			return bytes.ReplaceAll(good, []byte(schemaMark), []byte("postrider queuE\n"))
		}, []string{"not a postrider spool"}},
		"newer":      {newerSchema, []string{"newer postrider", "upgrade"}},
		"bad pages":  {badPages, []string{"not a postrider spool", "damaged"}},
		"bad header": {func(good []byte) []byte { return append(make([]byte, 64<<10), good[64<<10:]...) }, []string{"not a postrider spool"}},
	}
	for name, f := range foreign {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testForeignSpool(t, f.change, f.words)
		})
	}
}

func testForeignSpool(t *testing.T, change func([]byte) []byte, words []string) {
	h := startHost(t, nil)
	var open atomic.Bool
	sink := h.net.busy("busy.test", func() bool { return !open.Load() })
	h.send(mail("before"), "to@busy.test")
	h.deferred("grey-listed")
	h.proc.stop()

	path := h.path("spool/queue.db")
	good := readFile(t, path)
	bad := change(bytes.Clone(good))
	if bytes.Equal(good, bad) {
		t.Fatal("the file was not changed")
	}
	h.write("spool/queue.db", string(bad), 0o600)
	r := h.daemonFails()
	if r.code != 78 {
		t.Errorf("the daemon ended with %d, want 78", r.code)
	}
	oneLine(t, "postrider", r.stderr, append(words, path)...)
	h.send(mail("meanwhile"), "to@busy.test")
	if r := h.postrider("queue", "list"); r.code != 78 {
		t.Errorf("queue list: exit %d, want 78", r.code)
	}
	if !bytes.Equal(readFile(t, path), bad) {
		t.Error("the file was touched")
	}
	if left := leftovers(t, h.path("spool")); len(left) > 0 {
		t.Errorf("files are left in the spool: %v", left)
	}

	h.write("spool/queue.db", string(good), 0o600)
	open.Store(true)
	h.start()
	until(t, "all mail is delivered", func() bool { return copies(sink, "before") == 1 && copies(sink, "meanwhile") == 1 })
	h.emptied()
}

// leftovers lists what does not belong into a spool.
func leftovers(t *testing.T, spool string) (left []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(spool, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if base := filepath.Base(f); !slices.Contains([]string{"queue.db", "maildrop", "quarantine", "ballast"}, base) {
			left = append(left, base)
		}
	}
	return left
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// cutAt is within the pages that every database uses.
const cutAt = 40 << 10

// schemaMark stands before the version of the schema in the database.
const schemaMark = "postrider queue\n"

// newerSchema gives the file the schema version of a program to come.
func newerSchema(good []byte) []byte {
	rest := good
	for {
		i := bytes.Index(rest, []byte(schemaMark))
		if i < 0 {
			return good
		}
		version := rest[i+len(schemaMark) : i+len(schemaMark)+4]
		binary.BigEndian.PutUint32(version, binary.BigEndian.Uint32(version)+1)
		rest = rest[i+len(schemaMark):]
	}
}

// badPages overwrites all but the first pages, which say where the others are.
func badPages(good []byte) []byte {
	for i := 32 << 10; i < len(good); i++ {
		good[i] = 0xA5
	}
	return good
}

// TestSecondDaemon: a second daemon on the same spool does not start, and does not
// disturb the first.
func TestSecondDaemon(t *testing.T) {
	t.Parallel()
	h := startHost(t, nil)
	sink := h.net.sink("good.test", smtptest.Options{})
	r := h.daemonFails()
	if r.code != 75 {
		t.Errorf("the second daemon ended with %d, want 75", r.code)
	}
	oneLine(t, "postrider", r.stderr, "in use by another process", h.path("spool/queue.db"))
	h.send(mail("first"), "to@good.test")
	h.emptied()
	if copies(sink, "first") != 1 || !h.proc.running() {
		t.Error("the first daemon does not work any more")
	}
}

// TestAddressInUse: a port that another program has is named, with what to do.
func TestAddressInUse(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	h := newHost(t, settings{"submission.listen": "[" + quoted(l.Addr().String()) + "]"})
	r := h.daemonFails()
	if r.code != 71 {
		t.Errorf("exit %d, want 71", r.code)
	}
	oneLine(t, "postrider", r.stderr, l.Addr().String(), "address already in use", "submission.listen = []")
}

// TestQuietLog: a day without trouble leaves no trouble in the log.
func TestQuietLog(t *testing.T) {
	t.Parallel()
	h := startHost(t, nil)
	h.net.sink("good.test", smtptest.Options{})
	for range 5 {
		h.send(mail("quiet"), "to@good.test")
	}
	h.emptied()
	h.proc.stop()
	for line := range strings.Lines(h.proc.log.String()) {
		if strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR") || !strings.Contains(line, "level=") {
			t.Errorf("the log says: %s", line)
		}
	}
}
