package local_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"postrider/delivery/local"
)

// What is stuck at one place holds up who waits there for a while, and who comes
// after that not at all.
func TestTurnsAtAStuckPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turns local.Turns[string]
		how := local.Turn{Room: 2, Wait: 30 * time.Second, Stuck: 5 * time.Second}
		enter := func(place string, want bool, after time.Duration) func() {
			t.Helper()
			began := time.Now()
			leave, err := turns.Enter(t.Context(), place, how)
			if took := time.Since(began); (err == nil) != want || took != after {
				t.Fatalf("%s: after %v: %v", place, took, err)
			}
			return leave
		}
		first := enter("alice", true, 0)
		second := enter("alice", true, 0)
		enter("alice", false, 5*time.Second)
		enter("alice", false, 0)
		enter("bob", true, 0)()
		time.Sleep(time.Hour)
		first()
		third := enter("alice", true, 0) // there was room, however long the other stays
		time.AfterFunc(3*time.Second, second)
		fourth := enter("alice", true, 3*time.Second)
		third()
		fourth()
		enter("alice", true, 0)()
	})
}

// Where it goes on, though slowly, those who wait stay for as long as they may.
func TestTurnsAtASlowPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turns local.Turns[string]
		how := local.Turn{Room: 1, Wait: 30 * time.Second, Stuck: 5 * time.Second}
		served := make(chan bool)
		for range 10 {
			go func() {
				leave, err := turns.Enter(t.Context(), "alice", how)
				if err == nil {
					time.Sleep(4 * time.Second)
					leave()
				}
				served <- err == nil
			}()
		}
		count := 0
		for range 10 {
			if <-served {
				count++
			}
		}
		if count != 8 {
			t.Errorf("%d were served in 30 s of 4 s each", count)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		leave, err := turns.Enter(t.Context(), "alice", how)
		if err != nil {
			t.Fatal(err)
		}
		defer leave()
		if _, err := turns.Enter(ctx, "alice", how); err != context.Canceled {
			t.Errorf("after the end: %v", err)
		}
	})
}
