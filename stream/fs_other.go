//go:build unix && !linux

package stream

// Sync is fsync, where there is nothing less.
func (f osFile) Sync() error { return f.File.Sync() }
