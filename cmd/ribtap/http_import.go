package main

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// importLine is a line of the answer to an upload: progress any number of
// times, then a result or an error.
type importLine struct {
	Progress *importProgress `json:"progress,omitempty"`
	Result   *importResult   `json:"result,omitempty"`
	Error    string          `json:"error,omitempty"`
}

const (
	importProgressEvery = 250 * time.Millisecond
	importIdle          = time.Minute // an upload that stands still for so long has ended
)

// importFile takes a file's content as the request's body, keeps it in
// data_dir until all of it is there, and imports it. The answer is JSON lines.
func (s *server) importFile(w http.ResponseWriter, r *http.Request) {
	name, router := r.URL.Query().Get("name"), r.URL.Query().Get("router")
	if name == "" {
		name = "upload"
	}
	rc := http.NewResponseController(w)
	body := &patientReader{r: r.Body, rc: rc}
	f, err := spool(s.imports.spool, body, maxSpool)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInsufficientStorage)
		return
	}
	defer func() { _ = f.Close() }()
	out := newLineWriter(w, framing{})
	var shown time.Time
	res, err := s.imports.run(r.Context(), f, name, router, func(p importProgress) {
		if time.Since(shown) < importProgressEvery {
			return
		}
		shown = time.Now()
		// A client that does not read its progress must not stop the import.
		_ = out.value(importLine{Progress: &p}, importIdle)
	})
	line := importLine{Result: &res}
	if err != nil {
		line = importLine{Error: err.Error()}
		if !errors.Is(err, r.Context().Err()) {
			s.log.Error("import failed", "file", name, "error", err)
		}
	}
	_ = out.value(line, importIdle) // the ledger knows, should the client have gone
}

// patientReader gives every read of a request's body time of its own.
type patientReader struct {
	r  io.Reader
	rc *http.ResponseController
}

func (p *patientReader) Read(b []byte) (int, error) {
	if err := p.rc.SetReadDeadline(time.Now().Add(importIdle)); err != nil {
		return 0, err
	}
	return p.r.Read(b)
}
