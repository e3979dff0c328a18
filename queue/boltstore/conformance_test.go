package boltstore_test

import (
	"path/filepath"
	"testing"
	"time"

	"postrider/queue"
	"postrider/queue/boltstore"
	"postrider/queue/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		path := filepath.Join(t.TempDir(), "queue.db")
		open := func(t *testing.T) *boltstore.Store {
			s, err := boltstore.Open(path, boltstore.Options{ReportWait: time.Minute, Ballast: -1})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		s := open(t)
		return storetest.Harness{
			Store:      s,
			ReportWait: time.Minute,
			Reopen: func(t *testing.T) queue.Store {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				s = open(t)
				return s
			},
		}
	})
}
