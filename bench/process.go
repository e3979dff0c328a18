package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// processes are the directories of all processes in /proc.
func processes() map[int]string {
	list := map[int]string{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil {
			list[pid] = dir
		}
	}
	return list
}

// memory is what processes hold, in KiB: shared pages counted in proportion (pss)
// or in full (rss), and what of the former is not a part of a file (anonymous).
type memory struct{ pss, rss, anonymous float64 }

func memoryOf(pids ...int) (sum memory, err error) {
	for _, pid := range pids {
		path := fmt.Sprintf("/proc/%d/smaps_rollup", pid)
		for name, total := range map[string]*float64{"Pss:": &sum.pss, "Rss:": &sum.rss, "Pss_Anon:": &sum.anonymous} {
			value, err := field(path, name)
			if err != nil {
				return memory{}, err
			}
			*total += value
		}
	}
	return sum, nil
}

// field reads a number from a file of lines with a name and a value.
func field(path, name string) (float64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if words := strings.Fields(lines.Text()); len(words) > 1 && words[0] == name {
			return strconv.ParseFloat(words[1], 64)
		}
	}
	return 0, fmt.Errorf("%s: no line %q", path, name)
}

// highWater is the most memory a process has held at once, in KiB.
func highWater(pid int) (float64, error) {
	return field(fmt.Sprintf("/proc/%d/status", pid), "VmHWM:")
}

// resetHighWater has it counted from now on (proc(5), clear_refs).
func resetHighWater(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// watchPeak looks at a process until it ends and returns the most it held. What
// wait4 reports would not do: it counts the process that forked it, too.
func watchPeak(pid int) (peak float64) {
	for {
		now, err := highWater(pid)
		if err != nil {
			return peak
		}
		peak = max(peak, now)
	}
}

// diskUse is what the files below a directory occupy, in bytes.
func diskUse(dir string) (sum float64, err error) {
	err = filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		var st syscall.Stat_t
		if err == nil {
			err = syscall.Lstat(path, &st)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a queue at work: files come and go
		}
		if err != nil {
			return err
		}
		sum += float64(st.Blocks) * 512
		return nil
	})
	return sum, err
}

// clockTick is the unit of times in /proc: USER_HZ is 100 wherever Linux runs.
const clockTick = 10 * time.Millisecond

// cpuOf is the processor time that processes and those they waited for have used.
// Of one that has ended nothing is counted but by its parent.
func cpuOf(pids ...int) (sum time.Duration) {
	for _, pid := range pids {
		text := contents(fmt.Sprintf("/proc/%d/stat", pid))
		// The name in brackets may hold anything; the third field follows it.
		words := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
		for field := 14; field <= 17 && field-3 < len(words); field++ {
			ticks, _ := strconv.Atoi(words[field-3])
			sum += time.Duration(ticks) * clockTick
		}
	}
	return sum
}
