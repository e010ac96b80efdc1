package kafka

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	stateName    = "state.json"
	stateVersion = 1
	noProducer   = -1
)

// state is what a restart goes on from; see the package comment.
type state struct {
	Version int `json:"version"`
	// Target says to which topics, in which format, the rest belongs, and
	// Cluster to which cluster; empty before the first connection.
	Target  string `json:"target"`
	Cluster string `json:"cluster,omitempty"`
	// Position is the last event that is in Kafka with all before it.
	Position   uint64 `json:"position"`
	ProducerID int64  `json:"producer_id"`
	Epoch      int16  `json:"epoch"`
	// Partitions are the numbers of partitions by topic, in the order of the
	// format's topics.
	Partitions []int       `json:"partitions,omitempty"`
	Lanes      []laneState `json:"lanes,omitempty"`
	Chunk      *chunkState `json:"chunk,omitempty"`
}

// laneState is a partition of a topic; lanes are in the order of topics, and of
// partitions within a topic.
type laneState struct {
	// Next is the number of the lane's next record.
	Next int32 `json:"next"`
	// Offset is the one behind the last record that was acknowledged; -1 if
	// none was.
	Offset int64 `json:"offset"`
	// Floor: the topic had records of this collector when a state without lanes
	// met it, up to this event and time; FloorRecords of them are of that event.
	Floor        uint64 `json:"floor,omitempty"`
	FloorTime    int64  `json:"floor_time,omitempty"`
	FloorRecords int    `json:"floor_records,omitempty"`
}

// chunkState is a chunk that was begun.
type chunkState struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
	// Sum tells whether events of the same numbers are the same events.
	Sum   uint64      `json:"sum"`
	Lanes []cutsState `json:"lanes"`
}

// cutsState says how the rest of a lane's records is cut into batches, from the
// one with the lane's next number.
type cutsState struct {
	Lane int `json:"lane"`
	// Done is how many records of the chunk come before Next.
	Done int   `json:"done,omitempty"`
	Cuts []int `json:"cuts"`
}

// store keeps the state in a file.
type store struct{ dir string }

func (s store) load() (state, error) {
	fresh := state{Version: stateVersion, ProducerID: noProducer}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return fresh, fmt.Errorf("kafka: state_dir: %w", err)
	}
	name := filepath.Join(s.dir, stateName)
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return fresh, nil
	}
	if err != nil {
		return fresh, fmt.Errorf("kafka: %w", err)
	}
	var st state
	if err := json.Unmarshal(b, &st); err != nil {
		return fresh, fmt.Errorf("kafka: %s is damaged: %w; without it the topic gets everything that the stream keeps, less what is found there", name, err)
	}
	if st.Version != stateVersion {
		return fresh, fmt.Errorf("kafka: %s is of version %d, this program knows %d", name, st.Version, stateVersion)
	}
	return st, nil
}

// save replaces the file, durably and as a whole.
func (s store) save(st *state) error {
	b, err := json.Marshal(st)
	if err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	name := filepath.Join(s.dir, stateName)
	if err := replaceFile(name, append(b, '\n')); err != nil {
		return &Error{reason: ReasonState, what: "saving " + name, err: err}
	}
	return nil
}

func replaceFile(name string, content []byte) error {
	part := name + ".part"
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(part, name); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
