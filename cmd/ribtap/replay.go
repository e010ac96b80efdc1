package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/ribtap/ribtap/bmp"
	"github.com/ribtap/ribtap/mrt"
)

// replayOptions say how a recording is played.
type replayOptions struct {
	// Name and Descr are what the router calls itself where the recording does
	// not say.
	Name, Descr string
	// Speed is how many seconds of the recording pass in one; 0 for as fast as
	// the station reads.
	Speed float64
	// Down ends with Peer Downs and a Termination rather than a mere close.
	Down bool
	// Hold keeps the session open at the end, for so long or until ctx ends.
	Hold time.Duration
}

// replayReport counts what was played.
type replayReport struct {
	Messages int
	Octets   int64
	Peers    int
	// Skipped records were damaged, or of a kind that BMP has no message for.
	Damaged, Skipped int
}

// player plays a recording as one router's BMP session. It belongs to one
// goroutine.
type player struct {
	opt replayOptions
	w   *bufio.Writer
	rep replayReport

	// first is the recording's earliest time, nanoseconds; start is when it was played.
	first int64
	start time.Time

	// terminated is set once a Termination was sent: then the station hangs up.
	terminated atomic.Bool

	peers map[bmpPeer]*bmp.PeerHeader // that are up
	buf   []byte                      // for the message being made
}

// errTerminated is how a recording ends in which the router says goodbye.
var errTerminated = errors.New("the recording's router has terminated the session")

// replay plays r, compressed or not, to a station on conn, and closes conn. An
// error is one of reading or of the connection; damage is in the report.
func replay(ctx context.Context, conn net.Conn, r io.Reader, opt replayOptions) (replayReport, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// A station says nothing, so whatever ends this read is the session's end.
	p := &player{opt: opt, w: bufio.NewWriterSize(conn, 64<<10), peers: map[bmpPeer]*bmp.PeerHeader{}}
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		if _, err := io.Copy(io.Discard, conn); ctx.Err() == nil {
			switch {
			case p.terminated.Load():
				err = errTerminated
			case err == nil:
				err = errors.New("the station closed the session")
			}
			cancel(err)
		}
	}()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetWriteDeadline(time.Unix(1, 0)) })
	err := p.play(ctx, r)
	if err == nil {
		err = p.finish(ctx)
	}
	stop()
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	if errors.Is(err, errTerminated) {
		err = nil
	}
	cancel(nil)
	if cerr := conn.Close(); err == nil && cerr != nil {
		err = cerr
	}
	<-watched
	return p.rep, err
}

// play sends the whole recording.
func (p *player) play(ctx context.Context, r io.Reader) error {
	plain, _, err := mrt.Decompress(r)
	if err != nil {
		return err
	}
	b := bufio.NewReaderSize(plain, 64<<10)
	head, err := b.Peek(bmp.HeaderLen)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	p.start = time.Now()
	if isBMPRecording(head) {
		return p.playBMP(ctx, b)
	}
	if err := p.initiation(ctx); err != nil {
		return err
	}
	return p.playMRT(ctx, b)
}

func (p *player) initiation(ctx context.Context) error {
	p.buf = bmp.AppendInitiation(p.buf[:0], bmp.TextTLV(bmp.InfoSysDescr, p.opt.Descr), bmp.TextTLV(bmp.InfoSysName, p.opt.Name))
	return p.send(ctx, 0, p.buf)
}

// playBMP passes a router's octets on as they are. A recording that begins in
// mid-session gets an Initiation.
func (p *player) playBMP(ctx context.Context, r io.Reader) error {
	rd := bmp.NewReader(r, 0)
	for first := true; ; first = false {
		raw, err := rd.Next()
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if be, ok := errors.AsType[*bmp.Error](err); ok {
			p.rep.Damaged++
			if be.Class != bmp.ClassDrop {
				return nil // nobody knows where the next message begins
			}
		} else if err != nil {
			return err
		}
		m, perr := bmp.Parse(raw)
		if first && m.Type != bmp.TypeInitiation {
			if err := p.initiation(ctx); err != nil {
				return err
			}
		}
		at := int64(0)
		if perr == nil && m.Known && m.Type.HasPeer() {
			at = m.Peer.Time()
			p.track(&m)
		}
		if perr == nil && m.Type == bmp.TypeTermination {
			p.terminated.Store(true)
		}
		if err := p.send(ctx, at, raw); err != nil {
			return err
		}
	}
}

// track keeps account of the peers that are up, for the end.
func (p *player) track(m *bmp.Message) {
	key := peerOf(&m.Peer)
	switch m.Type {
	case bmp.TypePeerUp:
		h := m.Peer
		p.peers[key] = &h
		p.rep.Peers++
	case bmp.TypePeerDown:
		delete(p.peers, key)
	case bmp.TypeRouteMonitoring, bmp.TypeStatistics, bmp.TypeInitiation, bmp.TypeTermination, bmp.TypeRouteMirroring:
	}
}

// send waits until the time of a message has come and writes it. at is
// nanoseconds since 1970, 0 for a message without a time.
func (p *player) send(ctx context.Context, at int64, msg []byte) error {
	if at != 0 && p.opt.Speed > 0 {
		if p.first == 0 {
			p.first = at
		}
		due := p.start.Add(time.Duration(float64(at-p.first) / p.opt.Speed))
		if wait := time.Until(due); wait > 0 {
			// What was sent must arrive before the pause, not after it.
			if err := p.w.Flush(); err != nil {
				return err
			}
			if !sleep(ctx, wait) {
				return context.Cause(ctx)
			}
		}
	}
	p.rep.Messages++
	p.rep.Octets += int64(len(msg))
	_, err := p.w.Write(msg)
	return err
}

// finish ends the session as the options say.
func (p *player) finish(ctx context.Context) error {
	if err := p.w.Flush(); err != nil {
		return err
	}
	if p.opt.Hold > 0 && !sleep(ctx, p.opt.Hold) {
		if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
			return cause
		}
	}
	if !p.opt.Down {
		return nil
	}
	const administrativelyClosed = 0 // RFC 7854 §4.5
	for _, h := range p.peers {
		if _, err := p.w.Write(bmp.AppendPeerDown(nil, h, bmp.PeerDownDeconfigured, nil)); err != nil {
			return err
		}
	}
	if _, err := p.w.Write(bmp.AppendTermination(nil, bmp.CodeTLV(bmp.TerminationReasonCode, administrativelyClosed))); err != nil {
		return err
	}
	return p.w.Flush()
}

// sleep waits for d and reports whether it passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (r replayReport) String() string {
	return fmt.Sprintf("%d messages, %s, %d peers; %d records skipped, %d damaged", r.Messages, humanBytes(r.Octets), r.Peers, r.Skipped, r.Damaged)
}
