package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// How often a progress line is written: on a terminal in place, else as lines
// of a log.
const (
	progressEvery = 100 * time.Millisecond
	progressPlain = 5 * time.Second
	progressWidth = 24
)

// progress shows how far a reader of a known or unknown number of octets is.
// It belongs to one goroutine.
type progress struct {
	w     io.Writer
	name  string
	total int64 // 0 when unknown
	tty   bool
	now   func() time.Time

	start, shown time.Time
	drawn        bool
}

func newProgress(w io.Writer, name string, total int64) *progress {
	p := &progress{w: w, name: name, total: total, tty: isTerminal(w), now: time.Now}
	p.start = p.now()
	p.shown = p.start
	return p
}

// isTerminal reports whether w is a character device, which is what a terminal
// is and a pipe or file is not.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}

// update says that done octets were read; note is what came out of them.
func (p *progress) update(done int64, note string) {
	now := p.now()
	every := progressPlain
	if p.tty {
		every = progressEvery
	}
	if now.Sub(p.shown) < every {
		return
	}
	p.shown = now
	line := p.line(now, done, note)
	if p.tty {
		fmt.Fprintf(p.w, "\r\x1b[K%s", line)
		p.drawn = true
		return
	}
	fmt.Fprintln(p.w, line)
}

// finish takes a line drawn in place away.
func (p *progress) finish() {
	if p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.drawn = false
	}
}

func (p *progress) line(now time.Time, done int64, note string) string {
	var b strings.Builder
	b.WriteString(p.name)
	seconds := now.Sub(p.start).Seconds()
	rate := 0.0
	if seconds > 0 {
		rate = float64(done) / seconds
	}
	if p.total > 0 {
		part := min(float64(done)/float64(p.total), 1)
		if p.tty {
			full := int(part * progressWidth)
			fmt.Fprintf(&b, " [%s%s]", strings.Repeat("#", full), strings.Repeat(".", progressWidth-full))
		}
		fmt.Fprintf(&b, " %3.0f%% of %s", part*100, humanBytes(p.total))
	} else {
		b.WriteString(" " + humanBytes(done))
	}
	fmt.Fprintf(&b, ", %s/s", humanBytes(int64(rate)))
	if p.total > done && rate > 0 {
		left := time.Duration(float64(p.total-done) / rate * float64(time.Second))
		fmt.Fprintf(&b, ", %s left", left.Round(time.Second))
	}
	if note != "" {
		b.WriteString(", " + note)
	}
	return b.String()
}

func humanBytes(n int64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 10<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 10<<10:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}
