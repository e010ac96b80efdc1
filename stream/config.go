package stream

import (
	"errors"
	"fmt"
	"time"
)

// Values of Config.OnFull.
const (
	// OnFullBlock makes Write wait until followers have freed space.
	OnFullBlock = "block"
	// OnFullDrop deletes the oldest segments, read or not; a follower that had
	// not read them is given a gap event.
	OnFullDrop = "drop"
)

// Config of a Log.
type Config struct {
	// Dir is the log's own directory; Open creates it.
	Dir string `mapstructure:"dir"`
	// SyncInterval bounds how long an event may be in the log without being on
	// the disk, which is what a power cut may take. 0 makes every Write wait
	// for the disk.
	SyncInterval time.Duration `mapstructure:"sync_interval"`
	// SegmentSize in octets is where a new segment begins. A segment is
	// deleted as a whole. Open lowers it to a quarter of MaxSize.
	SegmentSize int64 `mapstructure:"segment_size"`
	// MaxSize in octets bounds the log; OnFull says what happens there. A batch
	// larger than MaxSize exceeds it by itself.
	MaxSize int64 `mapstructure:"max_size"`
	// Keep in octets stays even when every follower has passed it, so that a
	// sink that is enabled later can fill in what was before.
	Keep int64 `mapstructure:"keep"`
	// OnFull is OnFullBlock or OnFullDrop.
	OnFull string `mapstructure:"on_full"`
}

// DefaultConfig returns what holds for keys that are not set; Dir is empty.
func DefaultConfig() Config {
	return Config{
		SyncInterval: 100 * time.Millisecond,
		SegmentSize:  64 << 20,
		MaxSize:      64 << 30,
		Keep:         1 << 30,
		OnFull:       OnFullBlock,
	}
}

// The smallest sizes that make sense; a segment must hold a few messages.
const (
	minSegmentSize = 4 << 10
	minMaxSize     = 4 * minSegmentSize
)

// Validate reports every key that cannot work.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("stream: "+format, args...)) }
	if c.Dir == "" {
		bad("dir is empty")
	}
	if c.SyncInterval < 0 || c.SyncInterval > time.Minute {
		bad("sync_interval %v is not between 0 and 1m", c.SyncInterval)
	}
	if c.SegmentSize < minSegmentSize {
		bad("segment_size %d is below %d", c.SegmentSize, minSegmentSize)
	}
	if c.MaxSize < minMaxSize {
		bad("max_size %d is below %d", c.MaxSize, minMaxSize)
	}
	if c.Keep < 0 {
		bad("keep %d is negative", c.Keep)
	}
	if c.OnFull != OnFullBlock && c.OnFull != OnFullDrop {
		bad("on_full is %q, not %q or %q", c.OnFull, OnFullBlock, OnFullDrop)
	}
	return errors.Join(errs...)
}

// fitted returns the config with sizes that agree with each other.
func (c Config) fitted() Config {
	c.SegmentSize = min(c.SegmentSize, c.MaxSize/4)
	c.Keep = min(c.Keep, c.MaxSize/2)
	return c
}
