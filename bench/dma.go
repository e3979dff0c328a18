package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// dma is the DragonFly Mail Agent: no daemon; each call delivers in the background.
type dma struct{ peer }

func newDMA(env peerEnv) *dma {
	return &dma{peer{peerEnv: env, label: "dma", program: "usr/sbin/dma"}}
}

func (d *dma) mailq() caller { return d.caller("/usr/sbin/dma", "mailq") }

func (d *dma) sendmail() caller {
	c := d.caller("/usr/sbin/dma", "sendmail", "-i", "-t")
	c.unprivileged = true
	return c
}

// version comes from the package: the program does not tell.
func (d *dma) version() string {
	text, err := os.ReadFile(d.file("version"))
	return firstLine([]byte(strings.TrimSpace(string(text))), err)
}

func (d *dma) start() error {
	host, port := d.sinkHostPort()
	text := fmt.Sprintf("SMARTHOST %s\nPORT %s\nMAILNAME /etc/mailname\n", host, port)
	if err := os.WriteFile(d.file("etc/dma/dma.conf"), []byte(text), 0o644); err != nil {
		return err
	}
	return d.stop()
}

// stop removes what is queued.
func (d *dma) stop() error {
	files, err := filepath.Glob(d.file("var/spool/dma/[MQ]*"))
	for _, f := range files {
		os.Remove(f)
	}
	return err
}
