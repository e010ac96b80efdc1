package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ribtap/ribtap/api/ribtapv1"
	"github.com/ribtap/ribtap/api/ribtapv1/ribtapv1connect"
	"github.com/ribtap/ribtap/event"
)

// Stream is the collector's stream of events.
type Stream interface {
	// Last returns the sequence of the newest event, 0 without any.
	Last() uint64
	// NewReader returns a reader that begins with an event; 0: the oldest one.
	NewReader(from uint64) Reader
}

// Reader reads events in order. What is no longer kept is stood for by an event of
// KindGap.
type Reader interface {
	// Next waits for events, which are good until the next call.
	Next(ctx context.Context) ([]event.Event, error)
	Close()
}

// Table is the state of the RIB behind an event.
type Table interface {
	Sequence() uint64
	// Each calls fn with an event for each route, good during the call.
	Each(fn func(e *event.Event) error) error
	Close()
}

// Config joins the service to a collector.
type Config struct {
	// Collector is its name.
	Collector string
	Stream    Stream
	Status    func() *ribtapv1.GetStatusResponse
	// Dump returns the RIB of now, when it is complete. The caller closes it.
	Dump func(ctx context.Context) (Table, error)
	// Filter makes a test of events for one goroutine. Its error is the client's.
	Filter func(f *ribtapv1.Filter) (func(e *event.Event) bool, error)
	// Stopping is closed when the collector goes down: streams end.
	Stopping <-chan struct{}
	Limits   Limits
}

// Limits bound what clients may cost.
type Limits struct {
	Write   time.Duration // for one response
	Lag     uint64        // events, of a client that has been up to date
	Streams int64         // at once
	Dumps   int64         // at once; each holds a copy of the RIB's columns
}

// DefaultLimits returns the limits of a collector.
func DefaultLimits() Limits {
	return Limits{Write: 10 * time.Second, Lag: 200_000, Streams: 256, Dumps: 4}
}

// Server is the service.
type Server struct {
	cfg     Config
	streams atomic.Int64
	dumps   atomic.Int64
	cut     *prometheus.CounterVec
}

// New returns the service and registers its metrics.
func New(cfg Config, reg prometheus.Registerer) *Server {
	s := &Server{cfg: cfg, cut: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ribtap_api_streams_cut_total", Help: "Streams of API clients that were ended by the collector, by reason.",
	}, []string{"reason"})}
	for _, r := range []string{cutSlow, cutLimit, cutGap} {
		s.cut.WithLabelValues(r)
	}
	reg.MustRegister(s.cut, prometheus.NewGaugeFunc(
		prometheus.GaugeOpts{Name: "ribtap_api_streams", Help: "Streams that API clients have open."},
		func() float64 { return float64(s.streams.Load()) }))
	return s
}

// Reasons of cut.
const (
	cutSlow  = "slow"
	cutLimit = "limit"
	cutGap   = "gap"
)

// Handler returns the path below which the service is, and what serves it.
func (s *Server) Handler() (path string, h http.Handler) {
	path, h = ribtapv1connect.NewCollectorServiceHandler(service{s}, connect.WithReadMaxBytes(maxRequest))
	return path, deadlines(h, s.cfg.Limits.Write)
}

// maxRequest bounds a request in octets; the largest is a filter.
const maxRequest = 64 << 10

// service has the methods that the schema names.
type service struct{ *Server }

// GetStatus implements the service.
func (s service) GetStatus(context.Context, *connect.Request[ribtapv1.GetStatusRequest]) (*connect.Response[ribtapv1.GetStatusResponse], error) {
	return connect.NewResponse(s.cfg.Status()), nil
}

// Why a stream ends that is nobody's fault.
var (
	errStopping = connect.NewError(connect.CodeUnavailable, errors.New("the collector is stopping"))
	errGone     = connect.NewError(connect.CodeCanceled, errors.New("the client went away"))
)

// enter counts a stream in; leave counts it out.
func (s *Server) enter() (leave func(), err error) {
	if s.streams.Add(1) > s.cfg.Limits.Streams {
		s.streams.Add(-1)
		s.cut.WithLabelValues(cutLimit).Inc()
		return nil, connect.NewError(connect.CodeResourceExhausted, fmt.Errorf("%d clients have a stream already", s.cfg.Limits.Streams))
	}
	return func() { s.streams.Add(-1) }, nil
}

// until returns a context that ends with ctx and when the collector stops.
func (s *Server) until(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() { // ends with ctx, which the caller cancels
		select {
		case <-s.cfg.Stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// ended says why a stream's context is over, in the client's words.
func (s *Server) ended(ctx context.Context, err error) error {
	select {
	case <-s.cfg.Stopping:
		return errStopping
	default:
	}
	if ctx.Err() != nil {
		return errGone
	}
	return connect.NewError(connect.CodeUnavailable, err)
}

func (s *Server) filter(f *ribtapv1.Filter) (func(*event.Event) bool, error) {
	wanted, err := s.cfg.Filter(f)
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	return wanted, nil
}

// sent makes of an error of sending why the client was cut, if it was.
func (s *Server) sent(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if w, _ := ctx.Value(writerKey{}).(*deadlineWriter); w != nil && w.late.Load() {
		s.cut.WithLabelValues(cutSlow).Inc()
		return connect.NewError(connect.CodeResourceExhausted, fmt.Errorf("the client read nothing for %v", s.cfg.Limits.Write))
	}
	return s.ended(ctx, err)
}

// behind ends the stream of a client that has been up to date and no longer is.
func (s *Server) behind(last uint64) error {
	now := s.cfg.Stream.Last()
	if now <= last+s.cfg.Limits.Lag {
		return nil
	}
	s.cut.WithLabelValues(cutSlow).Inc()
	return connect.NewError(connect.CodeResourceExhausted, fmt.Errorf("too slow: %d events behind; filter more, or go on from %d", now-last, last+1))
}
