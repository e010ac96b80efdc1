package collector

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ribtap/ribtap/bmp"
	"github.com/ribtap/ribtap/event"
)

// ImportOptions say what a file is.
type ImportOptions struct {
	// Router is the name under which its peers appear; needed, because a file
	// does not say who recorded it.
	Router string
	// File and SHA256 go into the KindImport event at the end.
	File, SHA256 string
	// Progress, if set, is called now and then with the records so far.
	Progress func(records int)
}

// ImportReport says what came of a file.
type ImportReport struct {
	Records   int `json:"records"`
	Announced int `json:"announced"`
	Withdrawn int `json:"withdrawn"`
	// Skipped counts records that say nothing about routes and peers, Damaged
	// those that could not be read.
	Skipped int `json:"skipped"`
	Damaged int `json:"damaged"`
	// Faults describes the first damaged records, with their offsets.
	Faults []string `json:"faults,omitempty"`
}

// maxFaults bounds ImportReport.Faults.
const maxFaults = 20

func (rep *ImportReport) fault(err error) {
	rep.Damaged++
	if len(rep.Faults) < maxFaults {
		rep.Faults = append(rep.Faults, err.Error())
	}
}

// progressEvery is how many records lie between two calls of Progress.
const progressEvery = 4096

// ImportBMP reads a recording: the octets of a router's BMP session, as they
// came. Messages count as received when the router says that it sent them. The
// recording's end says nothing about its peers. An error is one of the event
// stream or of reading r; damage is in the report.
func (c *Collector) ImportBMP(ctx context.Context, r io.Reader, opt ImportOptions) (ImportReport, error) {
	var rep ImportReport
	s := &session{c: c, source: event.SourceBMP, imported: &rep}
	s.enter(routerKey{name: opt.Router}, "")
	rd := bmp.NewReader(r, c.cfg.MaxMessage)
	for ctx.Err() == nil {
		raw, err := rd.Next()
		if err == nil {
			err = s.batch(ctx, rd, raw)
		}
		if opt.Progress != nil && rep.Records%progressEvery == 0 {
			opt.Progress(rep.Records)
		}
		if err == nil && !s.terminated {
			continue
		}
		var stream *streamError
		var be *bmp.Error
		switch {
		case errors.As(err, &stream):
			return rep, stream.err
		case errors.As(err, &be):
			rep.fault(be)
		case err != nil && !errors.Is(err, io.EOF):
			return rep, fmt.Errorf("collector: reading %s: %w", opt.File, err)
		}
		return rep, c.endImport(ctx, s, opt, &rep)
	}
	return rep, ctx.Err()
}

// endImport leaves the routes as they are and writes the event that says so.
func (c *Collector) endImport(ctx context.Context, s *session, opt ImportOptions, rep *ImportReport) error {
	c.gate.RLock()
	defer c.gate.RUnlock()
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	s.r.leave(s)
	e := s.b.add()
	e.Received, e.Kind, e.Source, e.Router = event.At(c.now()), event.KindImport, event.SourceMRT, s.ev
	e.Text = fmt.Sprintf("%s sha256=%s records=%d announced=%d withdrawn=%d damaged=%d",
		opt.File, opt.SHA256, rep.Records, rep.Announced, rep.Withdrawn, rep.Damaged)
	return c.write(ctx, &s.b)
}
