package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"

	"github.com/ribtap/ribtap/sinks/kafka"
	"github.com/ribtap/ribtap/sinks/postgres"
)

func (a *app) consumeCommand() *cobra.Command {
	var group string
	cmd := &cobra.Command{
		Use:   "consume",
		Short: "write events from Kafka into PostgreSQL, as one of several workers",
		Long: "Reads the topic sinks.kafka.topic as a member of a consumer group and writes the same rows into\n" +
			"sinks.postgres.dsn as the collectors would, each event exactly once. Any number of workers may run, up\n" +
			"to one for each partition of the topic; they share the partitions out among themselves. The collectors\n" +
			"must publish with sinks.kafka.format: protobuf. It needs no data directory. SIGTERM finishes the batch\n" +
			"under way and ends with exit code 0.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.config()
			if err != nil {
				return err
			}
			return a.consume(cmd.Context(), s, group)
		},
	}
	f := cmd.Flags()
	f.StringVar(&group, "group", "ribtap", "name of the consumer group")
	f.Var(a.keyFlag("topic", "sinks.kafka.topic"), "topic", "topic to read (default ribtap.events)")
	f.Var(a.keyFlag("http-listen", "http.listen"), "http-listen", "address of metrics and health checks, HOST:PORT; without it there is none, unless http.listen is set")
	f.Var(a.keyFlag("log-level", "log.level"), "log-level", "debug, info, warn or error (default info)")
	f.Var(a.keyFlag("log-format", "log.format"), "log-format", "text or json (default text)")
	return cmd
}

// checkConsume reports what the configuration lacks for a worker.
func (s *settings) checkConsume() error {
	problems := &configError{}
	if len(s.Sinks.Kafka.Brokers) == 0 {
		problems.add("sinks.kafka.brokers is empty: ribtap consume reads from there")
	}
	if s.Sinks.Postgres.DSN == "" {
		problems.add("sinks.postgres.dsn is empty: ribtap consume writes there")
	}
	if f := s.Sinks.Kafka.Format; f != kafka.FormatProtobuf && s.origins["sinks.kafka.format"] != "default" {
		problems.add("sinks.kafka.format is %s: ribtap consume reads protobuf alone; set sinks.kafka.format: protobuf here and on the collectors", f)
	}
	if s.Sinks.Postgres.From == fromNow {
		problems.add("sinks.postgres.from is now: ribtap consume begins with the oldest record of the topic; leave it out")
	}
	if len(problems.problems) > 0 {
		return problems
	}
	return nil
}

func (a *app) consume(ctx context.Context, s *settings, group string) (err error) {
	if group == "" {
		return usagef("--group is empty")
	}
	if err := s.checkConsume(); err != nil {
		return err
	}
	log, _ := a.levelLogger(s)
	// Several workers may run on one machine, so the default port is none.
	var ln net.Listener
	if s.HTTP.Listen != "" && s.origins["http.listen"] != "default" {
		if ln, err = net.Listen("tcp", s.HTTP.Listen); err != nil {
			return fmt.Errorf("http.listen %s: %w; another ribtap may be running, or choose another with --http-listen", s.HTTP.Listen, cause(err))
		}
		defer ln.Close()
	}
	w, err := newWorker(s, group, log)
	if err != nil {
		return err
	}
	if err := w.store.Check(ctx); err != nil {
		return err
	}
	if err := w.consumer.Check(ctx); err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "ribtap %s, consumer group %s\n  topic %s\n", thisVersion().Version, group, s.Sinks.Kafka.Topic)
	if ln != nil {
		fmt.Fprintf(a.stderr, "  HTTP  http://%s/metrics\n", ln.Addr())
	}
	work, cancel := context.WithCancel(ctx)
	defer cancel()
	tasks := newTasks(cancel)
	tasks.run(func() error { return w.consumer.Run(work) })
	if ln != nil {
		srv := &server{tokens: s.tokens}
		tasks.run(func() error { return serve(work, ln, w.handler(srv), log) })
	}
	return tasks.wait()
}

// worker is what a consume process consists of.
type worker struct {
	reg      *prometheus.Registry
	store    *postgres.Partitions
	consumer *kafka.Consumer
}

func newWorker(s *settings, group string, log *slog.Logger) (w *worker, err error) {
	// knownAttrs is a cache for each partition of the topic, not for the process.
	const knownAttrs = 1 << 18
	w = &worker{reg: prometheus.NewRegistry()}
	w.reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), buildInfo())
	pc := s.postgresConfig()
	pc.KnownAttrs = knownAttrs
	if w.store, err = postgres.NewPartitions(pc, log, w.reg); err != nil {
		return nil, err
	}
	target := func(topic string, partition int) kafka.Target { return w.store.Partition(topic, partition) }
	w.consumer, err = kafka.NewConsumer(s.kafkaConfig(), group, target, log, w.reg)
	return w, err
}

// handler has the routes of a daemon that make sense without one.
func (w *worker) handler(s *server) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /readyz", func(rw http.ResponseWriter, _ *http.Request) {
		if err := w.consumer.Ready(); err != nil {
			http.Error(rw, oneLine(err.Error()), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(rw, "ready")
	})
	metrics := promhttp.HandlerFor(w.reg, promhttp.HandlerOpts{})
	mux.Handle("GET /metrics", s.authorize(scopeRead, http.TimeoutHandler(metrics, httpAnswerTimeout, "timed out\n")))
	return mux
}
