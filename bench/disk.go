package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// syncRate is how many times a second the disk takes 4 KiB for good, from so many
// writers with a file each: the limit of what one durable message a sync can reach.
func syncRate(dir string, n, writers int) (float64, error) {
	each := n / writers
	errs := make([]error, writers)
	var group sync.WaitGroup
	began := time.Now()
	for i := range errs {
		group.Go(func() { errs[i] = appendSynced(filepath.Join(dir, fmt.Sprint("sync", i)), each) })
	}
	group.Wait()
	return float64(each*writers) / time.Since(began).Seconds(), errors.Join(errs...)
}

func appendSynced(path string, n int) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	defer f.Close()
	block := make([]byte, 4<<10)
	for range n {
		if _, err := f.Write(block); err != nil {
			return err
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return err
		}
	}
	return nil
}
