package kafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"
)

// producerSpec is what a producer in a process of its own is to do.
type producerSpec struct {
	Config Config
	Last   uint64 // it ends when the sink has this event for good
	Batch  int
}

// produceForEver writes from where the sink is, as a follower would, and says
// how far it is.
func produceForEver(text string) error {
	var spec producerSpec
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		return err
	}
	s, err := New(spec.Config, quiet(), nil)
	if err != nil {
		return err
	}
	ctx := context.Background()
	for i, next := 0, s.Position()+1; s.Position() < spec.Last; i++ {
		if next > spec.Last {
			if err := s.Idle(ctx, time.Now()); err != nil {
				fmt.Fprintln(os.Stderr, "idle:", err)
			}
			continue
		}
		// Batches of other sizes in each life.
		n := min(1+(i*7919+os.Getpid())%spec.Batch, int(spec.Last-next)+1)
		batch := crashBatch(next, n)
		for {
			err := s.Write(ctx, batch)
			if err == nil {
				break
			}
			var e *Error
			if !errors.As(err, &e) {
				return err
			}
			time.Sleep(100 * time.Millisecond)
		}
		next += uint64(n)
		fmt.Println(s.Position())
	}
	return s.Close(ctx)
}
