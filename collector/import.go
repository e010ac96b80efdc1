package collector

import (
	"bufio"
	"bytes"
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

// ImportBMP reads a recording: the octets of a router's BMP sessions, as they
// came. Messages count as received when the router says that it sent them; those
// without a time when the one before was, or the first one that has a time. A
// Termination ends the session, and another may follow; the recording's end
// says nothing about its peers. An error is one of the event stream or of
// reading r; damage is in the report.
func (c *Collector) ImportBMP(ctx context.Context, r io.Reader, opt ImportOptions) (ImportReport, error) {
	var rep ImportReport
	br := bufio.NewReaderSize(r, firstTimeWithin)
	heard := firstTime(br, c.cfg.MaxMessage)
	rd := bmp.NewReader(br, c.cfg.MaxMessage)
	for {
		s := &session{c: c, source: event.SourceBMP, imported: &rep, heard: heard}
		s.enter(routerKey{name: opt.Router}, "")
		s.w.announced, s.w.withdrawn = rep.Announced, rep.Withdrawn
		err := s.importSession(ctx, rd, opt)
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
		if err != nil {
			return rep, c.endImport(ctx, s, opt, &rep)
		}
		heard = s.heard
		if err := c.endRecorded(ctx, s); err != nil {
			return rep, err
		}
	}
}

// firstTimeWithin is how much of a recording is searched for its first time.
const firstTimeWithin = 1 << 20

// firstTime returns the first time that a router gives at the beginning of a
// recording, 0 without one. It consumes nothing.
func firstTime(br *bufio.Reader, maxMessage int) event.Time {
	head, _ := br.Peek(firstTimeWithin) // an error is met again when the messages are read
	rd := bmp.NewReader(bytes.NewReader(head), maxMessage)
	for {
		raw, err := rd.Next()
		if err != nil {
			return 0
		}
		if t := sentAt(raw); t != 0 {
			return t
		}
	}
}

// sentAt returns when the router sent the message, 0 when it does not say.
func sentAt(raw []byte) event.Time {
	m, err := bmp.Parse(raw)
	if err != nil || !m.Known || !m.Type.HasPeer() || m.Peer.Seconds == 0 {
		return 0
	}
	return event.Time(m.Peer.Time())
}

// importSession reads up to the session's Termination, which is no error, or
// returns why there is nothing more to read.
func (s *session) importSession(ctx context.Context, rd *bmp.Reader, opt ImportOptions) error {
	for !s.terminated {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		raw, err := rd.Next()
		if err == nil {
			err = s.batch(ctx, rd, raw)
		}
		if err != nil {
			return err
		}
		if opt.Progress != nil && s.imported.Records%progressEvery == 0 {
			opt.Progress(s.imported.Records)
		}
	}
	return nil
}

// endRecorded ends a session of a recording that is followed by another.
func (c *Collector) endRecorded(ctx context.Context, s *session) error {
	c.gate.RLock()
	defer c.gate.RUnlock()
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	s.endImported()
	return c.write(ctx, &s.b)
}

// endImported ends the session as its last message wants it. The router's lock
// is held.
func (s *session) endImported() {
	if s.terminated {
		s.r.endSession(&s.b, s, event.CauseRouterDown, s.heard)
	} else {
		s.r.leave(s)
	}
}

// endImport ends the recording's last session and writes the event that says
// that the file was imported.
func (c *Collector) endImport(ctx context.Context, s *session, opt ImportOptions, rep *ImportReport) error {
	c.gate.RLock()
	defer c.gate.RUnlock()
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	s.endImported()
	e := s.b.add()
	e.Received, e.Kind, e.Source, e.Router = event.At(c.now()), event.KindImport, event.SourceMRT, s.ev
	e.Text = fmt.Sprintf("%s sha256=%s records=%d announced=%d withdrawn=%d damaged=%d",
		opt.File, opt.SHA256, rep.Records, rep.Announced, rep.Withdrawn, rep.Damaged)
	return c.write(ctx, &s.b)
}
