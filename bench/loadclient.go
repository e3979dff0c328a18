package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"strconv"
	"time"
)

// clients is how many load the systems at once.
const clients = 20

// load has the load generator send n messages of 2 KiB to an SMTP server.
func (b *bench) load(to string, n int, kept bool) (began, ended time.Time, err error) {
	cmd := exec.CommandContext(b.ctx, b.self, "load", "-to", to, "-n", strconv.Itoa(n),
		"-clients", strconv.Itoa(clients), "-kept="+strconv.FormatBool(kept))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return began, ended, fmt.Errorf("load generator: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	var from, to64 int64
	if _, err := fmt.Sscan(string(out), &from, &to64); err != nil {
		return began, ended, fmt.Errorf("load generator's answer %q: %w", out, err)
	}
	return time.Unix(0, from), time.Unix(0, to64), nil
}
