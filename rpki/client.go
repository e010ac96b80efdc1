package rpki

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"sync"
	"time"
)

// Config says where the caches are.
type Config struct {
	// Caches are host:port, the most preferred first (RFC 8210 §10).
	Caches []string
	// Dial replaces the dialling of TCP; for tests.
	Dial func(ctx context.Context, address string) (net.Conn, error)
}

const (
	dialTimeout = 10 * time.Second
	// answerTimeout is how long a cache may say nothing while an answer is due.
	answerTimeout = time.Minute
	versionMost   = 2
)

// Client keeps a table as the most preferred cache that has one says.
type Client struct {
	cfg   Config
	log   *slog.Logger
	table *Table

	mu     sync.Mutex
	caches []*cache
	chosen *set // what table has
}

// cache is one cache and what it said.
type cache struct {
	c       *Client
	address string

	version uint8
	known   bool // session and serial are those of vrps
	session uint16
	serial  uint32
	timing  timing

	vrps  map[VRP]struct{}
	aspas map[uint32]int // providers of a customer

	// Under Client.mu:
	set     *set // nil: there is none, or it has expired
	expires time.Time
	state   CacheState
}

// CacheState is what there is to say about a cache.
type CacheState struct {
	Address   string    `json:"address"`
	Connected bool      `json:"connected"`
	Version   uint8     `json:"version"`
	Serial    uint32    `json:"serial"`
	VRPs      int       `json:"vrps"`
	ASPAs     int       `json:"aspas"`
	Updated   time.Time `json:"updated"` // zero: never
	Expires   time.Time `json:"expires"`
	LastError string    `json:"last_error"`
}

// NewClient returns a client that does nothing until Run. It sets table.
func NewClient(cfg Config, table *Table, log *slog.Logger) *Client {
	if cfg.Dial == nil {
		cfg.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			return (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", address)
		}
	}
	c := &Client{cfg: cfg, log: log, table: table}
	for _, a := range cfg.Caches {
		c.caches = append(c.caches, &cache{
			c: c, address: a, version: versionMost, timing: usualTiming, vrps: map[VRP]struct{}{}, aspas: map[uint32]int{},
			state: CacheState{Address: a},
		})
	}
	return c
}

// Run follows all caches until ctx ends.
func (c *Client) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, cache := range c.caches {
		wg.Go(func() { cache.run(ctx) })
	}
	wg.Go(func() { c.expire(ctx) })
	wg.Wait()
	return nil
}

// States tells how the caches are, in their order.
func (c *Client) States() []CacheState {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]CacheState, len(c.caches))
	for i, cache := range c.caches {
		out[i] = cache.state
	}
	return out
}

// expire gives up what is too old (RFC 8210 §6).
func (c *Client) expire(ctx context.Context) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		c.mu.Lock()
		for _, cache := range c.caches {
			if cache.set != nil && time.Now().After(cache.expires) {
				c.log.Warn("rpki: what the cache said has expired", "cache", cache.address)
				cache.set, cache.state.VRPs = nil, 0
			}
		}
		c.choose()
		c.mu.Unlock()
	}
}

// choose gives the table to the first cache that has one; c.mu is held.
func (c *Client) choose() {
	var best *set
	for _, cache := range c.caches {
		if cache.set != nil {
			best = cache.set
			break
		}
	}
	if best != c.chosen {
		c.chosen = best
		c.table.now.Store(best)
	}
}

// run connects again and again.
func (k *cache) run(ctx context.Context) {
	for failed := 0; ctx.Err() == nil; failed++ {
		err := k.connection(ctx)
		if ctx.Err() != nil {
			return
		}
		wait := time.Duration(k.timing.retry) * time.Second
		if e, ok := errors.AsType[*cacheError](err); ok && e.code == errorUnsupportedVersion && k.version > 0 {
			k.version, k.known, wait = min(k.version-1, max(e.version, 0)), false, 0
		} else if errors.Is(err, errHungUp) && k.version > 0 && !k.known {
			// Some old caches close instead of saying that they know no such version.
			k.version, wait = k.version-1, 0
		} else if !k.known {
			k.version, wait = versionMost, min(wait, time.Second<<min(failed, 4))
		}
		if k.known {
			failed = 0
		}
		k.c.mu.Lock()
		k.state.Connected, k.state.LastError = false, err.Error()
		k.c.mu.Unlock()
		k.c.log.Log(ctx, slog.LevelInfo, "rpki: the cache is tried again", "cache", k.address, "in", wait.String(), "error", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// errHungUp says that the cache closed the connection before it had answered.
var errHungUp = errors.New("the cache closed the connection without an answer")

// connection is one connection, from its first query to its end.
func (k *cache) connection(ctx context.Context) error {
	conn, err := k.c.cfg.Dial(ctx, k.address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	r := bufio.NewReaderSize(conn, 64<<10)
	query := appendResetQuery(nil, k.version)
	if k.known {
		query = appendSerialQuery(nil, k.version, k.session, k.serial)
	}
	answered := false
	for {
		if err := conn.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
			return err
		}
		if _, err := conn.Write(query); err != nil {
			return err
		}
		fresh, err := k.answer(conn, r)
		if err != nil {
			if !answered && (errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed)) {
				err = errHungUp
			}
			return err
		}
		answered = true
		if !fresh { // Cache Reset
			k.known = false
			query = appendResetQuery(nil, k.version)
			continue
		}
		if err := k.idle(conn, r); err != nil {
			return err
		}
		query = appendSerialQuery(nil, k.version, k.session, k.serial)
	}
}

// idle waits until it is time for another query: the cache says so, or long enough
// passed.
func (k *cache) idle(conn net.Conn, r *bufio.Reader) error {
	if err := conn.SetReadDeadline(time.Now().Add(time.Duration(k.timing.refresh) * time.Second)); err != nil {
		return err
	}
	// A PDU that has begun is waited for: the deadline may not cut it in two.
	if _, err := r.Peek(1); err != nil {
		if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
			return nil
		}
		return err
	}
	if err := conn.SetReadDeadline(time.Now().Add(answerTimeout)); err != nil {
		return err
	}
	p, err := readPDU(r)
	switch {
	case err != nil:
		return err
	case p.kind == pduSerialNotify:
		return nil
	case p.kind == pduErrorReport:
		return p.report()
	}
	return k.refuse(conn, fmt.Errorf("a PDU of type %d that nobody asked for", p.kind))
}

// refuse tells the cache why the connection ends.
func (k *cache) refuse(conn net.Conn, why error) error {
	const corrupt = 0
	_, _ = conn.Write(appendErrorReport(nil, k.version, corrupt, why.Error())) // it ends anyway
	return why
}

// answer reads what a query brings. It is not fresh when the cache cannot go on from
// the serial.
func (k *cache) answer(conn net.Conn, r *bufio.Reader) (fresh bool, err error) {
	p, err := readPDU(r)
	for err == nil && p.kind == pduSerialNotify { // it may come at any time
		p, err = readPDU(r)
	}
	switch {
	case err != nil:
		return false, err
	case p.kind == pduErrorReport:
		return false, p.report()
	case p.kind == pduCacheReset:
		return false, nil
	case p.kind != pduCacheResponse:
		return false, k.refuse(conn, fmt.Errorf("a PDU of type %d instead of a Cache Response", p.kind))
	case p.version != k.version:
		if p.version > k.version {
			return false, k.refuse(conn, fmt.Errorf("version %d, asked for %d", p.version, k.version))
		}
		k.version = p.version
	}
	if k.known && p.session != k.session {
		k.known = false // what it says now is not about what it said before (§5.1)
		return false, fmt.Errorf("the cache's session is %d, and was %d", p.session, k.session)
	}
	vrps, aspas := map[VRP]struct{}{}, map[uint32]int{}
	if k.known {
		vrps, aspas = maps.Clone(k.vrps), maps.Clone(k.aspas)
	}
	session := p.session
	for {
		if err := conn.SetReadDeadline(time.Now().Add(answerTimeout)); err != nil {
			return false, err
		}
		if p, err = readPDU(r); err != nil {
			return false, err
		}
		switch p.kind {
		case pduIPv4, pduIPv6:
			v, announce, err := p.prefix()
			if err != nil {
				return false, k.refuse(conn, err)
			}
			if announce {
				vrps[v] = struct{}{}
			} else {
				delete(vrps, v)
			}
		case pduASPA:
			customer, providers, announce, err := p.aspa()
			if err != nil {
				return false, k.refuse(conn, err)
			}
			if announce {
				aspas[customer] = providers
			} else {
				delete(aspas, customer)
			}
		case pduRouterKey, pduSerialNotify: // BGPsec is not ours
		case pduErrorReport:
			return false, p.report()
		case pduEndOfData:
			serial, t, err := p.endOfData()
			if err != nil {
				return false, k.refuse(conn, err)
			}
			k.known, k.session, k.serial, k.timing = true, session, serial, t
			k.vrps, k.aspas = vrps, aspas
			k.commit()
			return true, nil
		default:
			return false, k.refuse(conn, fmt.Errorf("a PDU of type %d in a Cache Response", p.kind))
		}
	}
}

// commit makes what the cache said what there is.
func (k *cache) commit() {
	s := newSet(k.vrps)
	now := time.Now()
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	k.set, k.expires = s, now.Add(time.Duration(k.timing.expire)*time.Second)
	k.state = CacheState{
		Address: k.address, Connected: true, Version: k.version, Serial: k.serial, VRPs: s.n, ASPAs: len(k.aspas), Updated: now.UTC(), Expires: k.expires.UTC(),
	}
	k.c.choose()
}
