package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/ribtap/ribtap/sinks/kafka"
	"github.com/ribtap/ribtap/sinks/postgres"
	"github.com/ribtap/ribtap/speaker"
)

// finding is one line of `ribtap doctor`.
type finding struct {
	Check  string `json:"check"`
	Result string `json:"result"` // ok, warning or failure
	Detail string `json:"detail"`
}

var doctorTable = []column{{"CHECK", "check", narrow}, {"RESULT", "result", narrow}, {"DETAIL", "detail", narrow}}

const (
	doctorOK      = "ok"
	doctorWarning = "warning"
	doctorFailure = "failure"
	// doctorPatience is how long a server is waited for.
	doctorPatience = 10 * time.Second
	// doctorRoom is the share of a disk that should be free.
	doctorRoom = 10 // percent
)

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "look for what would keep the collector from working here", Args: cobra.NoArgs,
		Long: "Looks at the machine as `ribtap run` with this configuration would find it: ports, disk, limits, the kernel's\n" +
			"TCP MD5, the clock, PostgreSQL and Kafka. Nothing is changed, but a Kafka topic that is missing is made. Ends\n" +
			"with 1 when something fails.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.config()
			if err != nil {
				return err
			}
			found := s.examine(cmd.Context())
			if err := writeAll(a, doctorTable, found); err != nil {
				return err
			}
			for _, f := range found {
				if f.Result == doctorFailure {
					return &exitError{exitFailure, nil}
				}
			}
			return nil
		},
	}
}

// examine makes all checks.
func (s *settings) examine(ctx context.Context) (found []finding) {
	add := func(check, result, format string, args ...any) {
		found = append(found, finding{check, result, oneLine(fmt.Sprintf(format, args...))})
	}
	judge := func(check string, err error, format string, args ...any) {
		if err != nil {
			add(check, doctorFailure, "%v", err)
			return
		}
		add(check, doctorOK, format, args...)
	}
	where := s.file
	if where == "" {
		where = "no file; defaults"
	}
	add("configuration", doctorOK, "%s", where)
	for _, w := range s.warnings {
		add("configuration", doctorWarning, "%s", w)
	}
	if err := s.speaks(); err != nil {
		add("bgp", doctorFailure, "%v", err)
	}
	running := s.runs(ctx)
	if running {
		add("daemon", doctorOK, "a collector answers at http.listen %s", s.HTTP.Listen)
	} else {
		add("daemon", doctorWarning, "no collector answers at http.listen %q: start it with ribtap run", s.HTTP.Listen)
		s.examinePorts(judge)
	}
	s.examineDisk(add)
	s.examineLimits(add)
	if len(s.BGP.Peers) > 0 {
		judge("tcp-md5", speaker.CheckMD5(), "the kernel has it")
	}
	examineClock(add)
	s.examineServers(ctx, judge)
	return found
}

// runs reports whether a daemon of this configuration answers.
func (s *settings) runs(ctx context.Context) bool {
	c, err := s.client("", "")
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/healthz", http.NoBody)
	if err != nil {
		return false
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer r.Body.Close()
	return r.StatusCode == http.StatusOK
}

func (s *settings) examinePorts(judge func(check string, err error, format string, args ...any)) {
	for _, p := range []struct {
		key  string
		list []string
	}{{"bmp.listen", s.BMP.Listen}, {"bgp.listen", s.BGP.Listen}, {"http.listen", []string{s.HTTP.Listen}}} {
		for _, address := range p.list {
			if address == "" {
				continue
			}
			ln, err := net.Listen("tcp", address)
			if err == nil {
				_ = ln.Close()
			} else {
				err = fmt.Errorf("%s: %w", address, cause(err))
				if errors.Is(err, syscall.EACCES) {
					err = fmt.Errorf("%w; ports below 1024 need CAP_NET_BIND_SERVICE", err)
				}
			}
			judge(p.key, err, "%s is free", address)
		}
	}
}

func (s *settings) examineDisk(add func(check, result, format string, args ...any)) {
	// What is not there yet is made in the nearest folder that is.
	dir := s.DataDir
	for {
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) || filepath.Dir(dir) == dir {
			break
		}
		dir = filepath.Dir(dir)
	}
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		add("data_dir", doctorFailure, "%s cannot be written to: %v", dir, err)
		return
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil || fs.Blocks == 0 {
		add("data_dir", doctorWarning, "%s: how much room there is nobody can say: %v", dir, err)
		return
	}
	free, all := int64(fs.Bavail)*fs.Bsize, int64(fs.Blocks)*fs.Bsize
	result := doctorOK
	if free*100 < all*doctorRoom || s.Stream.MaxSize > 0 && free < int64(s.Stream.MaxSize) {
		result = doctorWarning
	}
	add("data_dir", result, "%s: %d of %d GiB are free; the stream takes up to stream.max_size, %d GiB", dir, free>>30, all>>30, int64(s.Stream.MaxSize)>>30)
}

func (s *settings) examineLimits(add func(check, result, format string, args ...any)) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		add("open files", doctorWarning, "%v", err)
		return
	}
	// The soft limit is raised to the hard one by the runtime.
	need := uint64(s.BMP.MaxSessions + s.BGP.MaxSessions + 512)
	result := doctorOK
	if limit.Max < need {
		result = doctorWarning
	}
	add("open files", result, "%d may be open, as many sessions as are allowed need %d", limit.Max, need)
}

// examineClock asks the kernel whether its clock is kept (adjtimex(2)): times of rows
// are those of this clock.
func examineClock(add func(check, result, format string, args ...any)) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	switch {
	case err != nil:
		add("clock", doctorWarning, "%v", err)
	case state == unix.TIME_ERROR:
		add("clock", doctorWarning, "nothing keeps it right: run an NTP client; the times of all rows are its times")
	default:
		add("clock", doctorOK, "it is kept, to %d ms", t.Maxerror/1000)
	}
}

func (s *settings) examineServers(ctx context.Context, judge func(check string, err error, format string, args ...any)) {
	if dsn := s.Sinks.Postgres.DSN; dsn != "" {
		ctx, cancel := context.WithTimeout(ctx, doctorPatience)
		defer cancel()
		version, err := postgres.Ping(ctx, dsn)
		judge("sinks.postgres", err, "PostgreSQL %s", version)
	}
	if brokers := s.Sinks.Kafka.Brokers; len(brokers) > 0 {
		judge("sinks.kafka", s.pingKafka(ctx), "%s", strings.Join(brokers, ", "))
	}
}

func (s *settings) pingKafka(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	cfg := s.kafkaConfig()
	dir, err := os.MkdirTemp("", "ribtap-doctor-") // the daemon's state is its own
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	cfg.StateDir = dir
	sink, err := kafka.New(cfg, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		return err
	}
	return errors.Join(sink.Check(ctx), sink.Close(ctx))
}
