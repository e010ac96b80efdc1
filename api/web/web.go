// Package web is the pages that a browser opens: files in static, made of the JSON
// API and nothing else, without a build step.
//
// In static/vendor, unchanged: htm with Preact 10 (Apache-2.0, MIT) and uPlot (MIT).
package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

//go:embed static
var static embed.FS

// Pages are the paths that show a page; what they show is in their query.
var Pages = []string{"/", "/sessions", "/prefix", "/as", "/changes", "/diff", "/data"}

// policy lets a page load nothing but what comes from here, and be shown in nothing
// else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'none'; base-uri 'none'; frame-ancestors 'none'"

// file is a file ready to be sent.
type file struct {
	plain, gzipped []byte
	etag, kind     string
}

// files are all files by their path, read once.
var files = sync.OnceValue(func() map[string]*file {
	all := map[string]*file{}
	err := fs.WalkDir(static, "static", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := static.ReadFile(p)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(b)
		var z bytes.Buffer
		w, err := gzip.NewWriterLevel(&z, gzip.BestCompression)
		if err != nil {
			return err
		}
		if _, err = w.Write(b); err == nil {
			err = w.Close()
		}
		all[strings.TrimPrefix(p, "static")] = &file{plain: b, gzipped: z.Bytes(), etag: `"` + hex.EncodeToString(sum[:8]) + `"`, kind: kinds[path.Ext(p)]}
		return err
	})
	if err != nil {
		panic(fmt.Sprintf("web: embedded files: %v", err)) // they were there when this was built
	}
	return all
})

var kinds = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
	".mjs": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}

// Handler serves the pages and their files. Neither has anything secret in it: what
// they show they ask the API for.
func Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.URL.Path
		if slices.Contains(Pages, name) {
			name = "/index.html"
		}
		f := files()[name]
		if f == nil || f.kind == "" {
			http.NotFound(w, r)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, r.Method+" is not for a page", http.StatusMethodNotAllowed)
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-cache") // asks with the tag each time
		h.Set("Etag", f.etag)
		h.Set("Vary", "Accept-Encoding")
		h.Set("Content-Type", f.kind)
		body := f.plain
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			h.Set("Content-Encoding", "gzip")
			body = f.gzipped
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	})
}
