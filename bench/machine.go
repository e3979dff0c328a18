package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
)

// machine describes what the figures were made on.
func machine(dir string) string {
	line := fmt.Sprintf("%s, %d processors, %.0f GiB, Linux %s, %s on %s", processor(), runtime.NumCPU(), memoryGiB(),
		strings.TrimSpace(contents("/proc/sys/kernel/osrelease")), filesystem(dir), dir)
	load, _, _ := strings.Cut(contents("/proc/loadavg"), " ")
	return line + ", load " + load
}

func contents(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "?"
	}
	return string(text)
}

func processor() string {
	for line := range bytes.Lines([]byte(contents("/proc/cpuinfo"))) {
		if name, ok := bytes.CutPrefix(line, []byte("model name")); ok {
			return string(bytes.Trim(name, "\t :\n"))
		}
	}
	return runtime.GOARCH
}

func memoryGiB() float64 {
	kib, err := field("/proc/meminfo", "MemTotal:")
	if err != nil {
		return 0
	}
	return kib / (1 << 20)
}

// tmpfs is the magic number of a file system without a disk.
const tmpfs = 0x01021994

func filesystem(dir string) string {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return "?"
	}
	switch int64(st.Type) {
	case 0xEF53:
		return "ext4"
	case 0x58465342:
		return "xfs"
	case 0x9123683E:
		return "btrfs"
	case 0x794C7630:
		return "overlayfs"
	case tmpfs:
		return "TMPFS (no disk: use -dir)"
	}
	return fmt.Sprintf("file system %#x", st.Type)
}
