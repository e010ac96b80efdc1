package postgres_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ribtap/ribtap/sinks/postgres"
)

func TestValidate(t *testing.T) {
	for name, change := range map[string]func(*postgres.Config){
		"DSN":        func(c *postgres.Config) { c.DSN = "" },
		"wrong DSN":  func(c *postgres.Config) { c.DSN = "postgres://u:hunter2@db:port/x" },
		"wrong word": func(c *postgres.Config) { c.DSN = "host=db password=hunter2 port=x" },
		"collector":  func(c *postgres.Config) { c.Collector = "" },
		"rows":       func(c *postgres.Config) { c.Rows = "some" },
		"retention":  func(c *postgres.Config) { c.Retention = time.Hour },
		"timeout":    func(c *postgres.Config) { c.Timeout = time.Millisecond },
		"known":      func(c *postgres.Config) { c.KnownAttrs = -1 },
		"anomalies":  func(c *postgres.Config) { c.Anomalies = 0 },
	} {
		cfg := postgres.DefaultConfig()
		cfg.DSN, cfg.Collector = "postgres://u:hunter2@db/x", "y"
		if err := cfg.Validate(); err != nil {
			t.Fatal(err)
		}
		change(&cfg)
		err := cfg.Validate()
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		if text := err.Error(); strings.Contains(text, "hunter2") || strings.Contains(text, "\n") || !strings.HasPrefix(text, "postgres: ") {
			t.Errorf("%s: %q", name, text)
		}
	}
}
