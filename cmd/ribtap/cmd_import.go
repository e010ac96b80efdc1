package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/ribtap/ribtap/stream"
)

func (a *app) importCommand() *cobra.Command {
	var flags clientFlags
	var router string
	cmd := &cobra.Command{
		Use:   "import FILE…",
		Short: "put MRT files and BMP recordings into the history",
		Long: "Puts MRT files (plain, gzip, bzip2, zstd; TABLE_DUMP, TABLE_DUMP_V2, BGP4MP, BGP4MP_ET, RFC 8050) and raw\n" +
			"BMP recordings into the same history, through the same pipeline as routers' sessions. FILE may be - for\n" +
			"standard input. While a daemon runs on the same data directory, it does the work. A file whose content\n" +
			"was imported before adds nothing.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.importFiles(cmd.Context(), args, router, flags)
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&router, "router", "", "name under which the file's peers appear (default the collector that an archive's path names, the sysName in a BMP recording, else mrt)")
	return cmd
}

// importSink is where files go: this process or the daemon.
type importSink func(ctx context.Context, path, name, router string, bar *progress) (importResult, error)

// importFiles imports one file after the other and goes on behind one that
// fails. Its exit code is that of the worst.
func (a *app) importFiles(ctx context.Context, paths []string, router string, flags clientFlags) error {
	// What is not there is said before anything is written.
	for _, p := range paths {
		if _, err := os.Stat(p); p != "-" && err != nil {
			return fmt.Errorf("import %s: %w", p, errors.Unwrap(err))
		}
	}
	s, err := a.config()
	if err != nil {
		return err
	}
	var sink importSink
	finish := func() error { return nil }
	if flags.url != "" || os.Getenv("RIBTAP_URL") != "" {
		c, err := a.client(flags)
		if err != nil {
			return err
		}
		sink = a.upload(c)
	} else {
		n, err := openNode(ctx, s, a.quietLogger(s), nodeOffline)
		switch {
		case errors.Is(err, stream.ErrLocked):
			c, err := s.client(flags.tokenFile, os.Getenv("RIBTAP_TOKEN"))
			if err != nil {
				return err
			}
			sink = a.upload(c)
		case err != nil:
			return err
		default:
			if err := n.start(ctx); err != nil {
				return errors.Join(err, n.stop())
			}
			finish = n.stop
			sink = a.importLocally(newImporter(n.col, s.DataDir))
		}
	}
	results, err := a.importEach(ctx, sink, paths, router)
	if ferr := finish(); err == nil {
		err = ferr
	}
	if a.output != "table" && a.output != "wide" {
		if werr := writeAll(a, nil, results); err == nil {
			err = werr
		}
	}
	return err
}

// importEach says for each file what came of it.
func (a *app) importEach(ctx context.Context, sink importSink, paths []string, router string) (results []importResult, err error) {
	code, failed := exitOK, error(nil)
	for _, path := range paths {
		name, as := filepath.Base(path), router
		if path == "-" {
			name = "stdin"
		}
		if as == "" {
			as = routerFor(path)
		}
		bar := newProgress(a.stderr, name, 0)
		res, err := sink(ctx, path, name, as, bar)
		bar.finish()
		if err != nil {
			if ctx.Err() != nil || len(paths) == 1 {
				return results, err
			}
			if ee, ok := errors.AsType[*exitError](err); ok && ee.code == exitUnreachable {
				return results, err
			}
			fmt.Fprintf(a.stderr, "ribtap: %s\n", oneLine(err.Error()))
			code, failed = exitFailure, fmt.Errorf("some of %d files were not imported", len(paths))
			continue
		}
		results = append(results, res)
		a.summarize(res)
		if res.Damaged > 0 && code == exitOK {
			code = exitPartial
		}
	}
	if code != exitOK {
		return results, &exitError{code, failed}
	}
	return results, nil
}

// summarize writes the summary of one file.
func (a *app) summarize(r importResult) {
	if r.Known {
		fmt.Fprintf(a.stderr, "ribtap: %s: imported already at %s; nothing added\n", r.File, r.KnownAt.Format(time.RFC3339))
		return
	}
	for _, f := range r.Faults {
		fmt.Fprintf(a.stderr, "ribtap: %s: damaged: %s\n", r.File, oneLine(f))
	}
	if more := r.Damaged - len(r.Faults); more > 0 && len(r.Faults) > 0 {
		fmt.Fprintf(a.stderr, "ribtap: %s: and %d more damaged records\n", r.File, more)
	}
	rate := 0.0
	if r.Seconds > 0 {
		rate = float64(r.Announced+r.Withdrawn) / r.Seconds
	}
	fmt.Fprintf(a.stderr, "ribtap: %s: %d records, %d routes announced, %d withdrawn, %d records without routes, %d damaged, in %.1f s (%.0f routes/s), as router %s\n",
		r.File, r.Records, r.Announced, r.Withdrawn, r.Skipped, r.Damaged, r.Seconds, rate, r.Router)
	if r.Repeated {
		fmt.Fprintf(a.stderr, "ribtap: %s: an earlier import of this file did not finish; its part is in the stream twice\n", r.File)
	}
}

// importLocally imports in this process.
func (a *app) importLocally(im *importer) importSink {
	return func(ctx context.Context, path, name, router string, bar *progress) (importResult, error) {
		f, err := a.openContent(path, im.spool)
		if err != nil {
			return importResult{}, err
		}
		defer func() { _ = f.Close() }()
		return im.run(ctx, f, name, router, func(p importProgress) { bar.show(p) })
	}
}

// openContent opens a file, or brings standard input into one.
func (a *app) openContent(path, spoolDir string) (*os.File, error) {
	if path == "-" {
		return spool(spoolDir, a.stdin, maxSpool)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("import %s: %w", path, errors.Unwrap(err))
	}
	return f, nil
}

func (p *progress) show(ip importProgress) {
	p.total = ip.Total
	p.update(ip.Bytes, fmt.Sprintf("%d records", ip.Records))
}

// upload hands files to the daemon.
func (a *app) upload(c *client) importSink {
	return func(ctx context.Context, path, name, router string, bar *progress) (importResult, error) {
		body, length := a.stdin, int64(-1)
		if path != "-" {
			f, err := os.Open(path)
			if err != nil {
				return importResult{}, fmt.Errorf("import %s: %w", path, errors.Unwrap(err))
			}
			defer func() { _ = f.Close() }()
			st, err := f.Stat()
			if err != nil {
				return importResult{}, fmt.Errorf("import %s: %w", path, err)
			}
			body, length = f, st.Size()
			if length == 0 {
				body = http.NoBody
			}
		}
		query := url.Values{"name": {name}, "router": {router}}
		resp, err := c.do(ctx, http.MethodPost, "/v1/import", query, body, length)
		if err != nil {
			return importResult{}, fmt.Errorf("import %s: %w", path, err)
		}
		defer resp.Body.Close()
		return readImport(resp.Body, path, bar)
	}
}

func readImport(r io.Reader, path string, bar *progress) (importResult, error) {
	d := json.NewDecoder(r)
	for {
		var line importLine
		if err := d.Decode(&line); err != nil {
			return importResult{}, fmt.Errorf("import %s: the daemon broke off: %w", path, err)
		}
		switch {
		case line.Error != "":
			return importResult{}, errors.New(line.Error)
		case line.Result != nil:
			return *line.Result, nil
		case line.Progress != nil:
			bar.show(*line.Progress)
		}
	}
}
