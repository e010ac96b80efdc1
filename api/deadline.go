package api

import (
	"context"
	"errors"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// deadlines gives each write of a response so much time, and lets the server's own
// deadlines for a whole answer not count.
func deadlines(next http.Handler, d time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		dw := &deadlineWriter{ResponseWriter: w, rc: http.NewResponseController(w), d: d}
		next.ServeHTTP(dw, r.WithContext(context.WithValue(r.Context(), writerKey{}, dw)))
	})
}

type writerKey struct{}

// deadlineWriter is a ResponseWriter whose writes and flushes fail when the client
// takes nothing for some time.
type deadlineWriter struct {
	http.ResponseWriter
	rc   *http.ResponseController
	d    time.Duration
	late atomic.Bool
}

// Unwrap lets http.ResponseController find what is below.
func (w *deadlineWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *deadlineWriter) Write(b []byte) (int, error) {
	w.extend()
	n, err := w.ResponseWriter.Write(b)
	w.failed(err)
	return n, err
}

// Flush implements http.Flusher.
func (w *deadlineWriter) Flush() {
	w.extend()
	w.failed(w.rc.Flush())
}

func (w *deadlineWriter) extend() { _ = w.rc.SetWriteDeadline(time.Now().Add(w.d)) }

func (w *deadlineWriter) failed(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		w.late.Store(true)
	}
}
