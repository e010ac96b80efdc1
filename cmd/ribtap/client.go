package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// client talks to a running daemon.
type client struct {
	base  string // http://host:port
	token string
}

// clientFlags are the flags of commands that talk to the daemon.
type clientFlags struct{ url, tokenFile string }

func (f *clientFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.url, "url", "", "the daemon's address (also RIBTAP_URL; default http.listen of the configuration)")
	cmd.Flags().StringVar(&f.tokenFile, "token-file", "", "file with the daemon's token (also RIBTAP_TOKEN_FILE; default http.token_file)")
}

// client finds the daemon: by flag, environment or configuration.
func (a *app) client(f clientFlags) (*client, error) {
	if f.url == "" {
		f.url = os.Getenv("RIBTAP_URL")
	}
	if f.tokenFile == "" {
		f.tokenFile = os.Getenv("RIBTAP_TOKEN_FILE")
	}
	c := &client{base: strings.TrimSuffix(f.url, "/"), token: os.Getenv("RIBTAP_TOKEN")}
	if c.base == "" {
		s, err := a.config()
		if err != nil {
			return nil, err
		}
		return s.client(f.tokenFile, c.token)
	}
	if !strings.Contains(c.base, "://") {
		c.base = "http://" + c.base
	}
	return c, c.readToken(f.tokenFile)
}

// client returns the client of the daemon that runs with these settings.
func (s *settings) client(tokenFile, token string) (*client, error) {
	if s.HTTP.Listen == "" {
		return nil, &exitError{exitUnreachable, errors.New("http.listen is empty, so no daemon of this configuration answers; name one with --url")}
	}
	host, port, err := net.SplitHostPort(s.HTTP.Listen)
	if err != nil {
		return nil, err
	}
	switch host {
	case "", "0.0.0.0":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	c := &client{base: "http://" + net.JoinHostPort(host, port), token: token}
	if c.token == "" && tokenFile == "" {
		c.token = own(s.tokens)
	}
	return c, c.readToken(tokenFile)
}

func (c *client) readToken(path string) error {
	if path == "" {
		return nil
	}
	tokens, err := readTokens(path)
	if err != nil {
		return &exitError{exitUsage, fmt.Errorf("token file: %w", err)}
	}
	c.token = own(tokens)
	return nil
}

// do sends a request and returns the response if its status is 200. The body
// may be endless: only connecting and the head of the answer are bounded.
func (c *client) do(ctx context.Context, method, path string, query url.Values, body io.Reader, length int64) (*http.Response, error) {
	target := c.base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, usagef("--url: %w", err)
	}
	if body != nil && length >= 0 {
		req.ContentLength = length
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	transport := &http.Transport{
		DialContext:        (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		DisableCompression: true,
		DisableKeepAlives:  true,
	}
	if body == nil {
		transport.ResponseHeaderTimeout = 30 * time.Second
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if ue, ok := errors.AsType[*url.Error](err); ok {
			err = ue.Err
		}
		return nil, &exitError{exitUnreachable, fmt.Errorf("the daemon at %s does not answer: %w; start it with ribtap run", c.base, cause(err))}
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	reason := strings.TrimSpace(string(text))
	switch resp.StatusCode {
	case http.StatusUnauthorized:
		return nil, fmt.Errorf("the daemon at %s wants a token: name its file with --token-file", c.base)
	case http.StatusBadRequest:
		return nil, usagef("%s", reason)
	case http.StatusConflict:
		return nil, errors.New(reason)
	case http.StatusUnprocessableEntity:
		return nil, &configError{strings.Split(reason, "\n")}
	}
	return nil, fmt.Errorf("the daemon at %s answers %s: %s", c.base, resp.Status, reason)
}
