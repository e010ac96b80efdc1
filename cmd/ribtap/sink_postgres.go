package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/sinks/postgres"
)

func (s *settings) postgresConfig() postgres.Config {
	c := s.Sinks.Postgres
	cfg := postgres.DefaultConfig()
	cfg.DSN, cfg.Rows, cfg.Retention, cfg.Collector = c.DSN, c.Rows, c.Retention.Std(), s.Collector.Name
	return cfg
}

func openPostgres(ctx context.Context, n *node) (event.Sink, func() error, error) {
	if n.s.Sinks.Postgres.DSN == "" {
		return nil, nil, nil
	}
	sink, err := postgres.New(n.s.postgresConfig(), n.log, n.reg)
	if err != nil {
		return nil, nil, err
	}
	remote, err := newRemoteSink(sink, n, "postgres")
	if err != nil {
		return nil, nil, err
	}
	if err := remote.tryOpen(ctx); err != nil {
		if err := n.unusable("postgres", err); err != nil {
			return nil, nil, err
		}
	}
	return remote, remote.Close, nil
}

func (a *app) migrateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "migrate",
		Short: "bring the PostgreSQL schema up to date",
		Long: "Brings the schema of sinks.postgres.dsn up to date, under a lock, so that it may run at several places at once.\n" +
			"`ribtap run` does the same at its start; this is for a role that may create tables where the collector's may not.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.config()
			if err != nil {
				return err
			}
			if s.Sinks.Postgres.DSN == "" {
				return errors.New("migrate: sinks.postgres.dsn is not set; the SQLite history needs no migrate")
			}
			done, err := postgres.Migrate(cmd.Context(), s.Sinks.Postgres.DSN)
			if err != nil {
				return err
			}
			for _, m := range done {
				fmt.Fprintf(a.stderr, "ribtap: applied migration %d, %s\n", m.Version, m.Name)
			}
			if len(done) == 0 {
				fmt.Fprintln(a.stderr, "ribtap: the schema is up to date")
			}
			return nil
		},
	}
}
