package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// aliasMembers is the length of the list that is measured.
const aliasMembers = 10_000

// aliasFile is what local.aliases names.
func (p *postrider) aliasFile() string { return p.path("aliases") }

// writeAliases makes the list "members".
func (p *postrider) writeAliases() error {
	var b strings.Builder
	b.WriteString("members: m0@x.test")
	for i := 1; i < aliasMembers; i++ {
		fmt.Fprintf(&b, ",\n m%d@x.test", i)
	}
	return os.WriteFile(p.aliasFile(), []byte(b.String()+"\n"), 0o644)
}

// measureAlias sends a message to a list of aliasMembers, while mail is held, and
// looks how long it takes until the last member is in the queue, and what that takes.
func (b *bench) measureAlias() error {
	var took, room []float64
	for range b.pick(5, 2) {
		t, size, err := b.aliasRound()
		if err != nil {
			return err
		}
		took, room = append(took, t.Seconds()), append(room, size)
	}
	b.table.row(11, "alias of 10,000, s", percentile(took, 50), against{goal: atMost("< 1", 1)})
	b.table.row(11, "its disk, KB a member", percentile(room, 50)/aliasMembers/1000)
	return nil
}

func (b *bench) aliasRound() (took time.Duration, size float64, err error) {
	if err := errors.Join(b.ours.writeAliases(), b.ours.hold()); err != nil {
		return 0, 0, err
	}
	if err := b.ours.renew(); err != nil {
		return 0, 0, err
	}
	file := filepath.Join(b.ours.dir, "to-members")
	if err := os.WriteFile(file, []byte("Subject: x\n\n"+strings.Repeat("0123456789abcde\n", 256)), 0o644); err != nil {
		return 0, 0, err
	}
	before, err := diskUse(b.ours.spool())
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	if _, err := b.ours.program("sendmail", "-i", "members").call(b.ctx, file); err != nil {
		return 0, 0, err
	}
	if err := b.awaitMember(began, fmt.Sprintf("m%d@x.test", aliasMembers-1)); err != nil {
		return 0, 0, err
	}
	took = time.Since(began)
	after, err := diskUse(b.ours.spool())
	return took, after - before, errors.Join(err, b.ours.ready())
}

// awaitMember waits until a recipient is in the queue.
func (b *bench) awaitMember(began time.Time, address string) error {
	for time.Since(began) < 30*time.Second {
		out, err := b.ours.program("postrider", "queue", "list", "--json", "--recipient", address).output(b.ctx)
		if err != nil {
			return err
		}
		if bytes.Contains(out, []byte(address)) {
			return nil
		}
	}
	return fmt.Errorf("%s is not in the queue after 30 s", address)
}
