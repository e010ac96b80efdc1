package main

import (
	"context"
	"errors"
	"sync"
)

// tasks are the daemon's long-lived parts. When one of them ends, all do.
type tasks struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup
	mu     sync.Mutex
	errs   []error
}

func newTasks(cancel context.CancelFunc) *tasks { return &tasks{cancel: cancel} }

// run starts a part. It ends with its context; an error of any other kind, and
// an early end, take the others down.
func (t *tasks) run(f func() error) {
	t.wg.Go(func() {
		err := f()
		if err != nil && !errors.Is(err, context.Canceled) {
			t.mu.Lock()
			t.errs = append(t.errs, err)
			t.mu.Unlock()
		}
		t.cancel()
	})
}

// wait returns when all parts have ended, with what went wrong.
func (t *tasks) wait() error {
	t.wg.Wait()
	return errors.Join(t.errs...)
}
