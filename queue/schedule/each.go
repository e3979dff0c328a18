package schedule

import "sync"

// each calls fn for every item, with so many goroutines at most, and waits for
// them.
func each[T any](items []T, goroutines int, fn func(T)) {
	var wg sync.WaitGroup
	feed := make(chan T)
	for range min(goroutines, len(items)) {
		wg.Go(func() {
			for item := range feed {
				fn(item)
			}
		})
	}
	for _, item := range items {
		feed <- item
	}
	close(feed)
	wg.Wait()
}
