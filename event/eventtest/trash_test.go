package eventtest_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/ribtap/ribtap/event"
	"github.com/ribtap/ribtap/event/eventtest"
)

// keeper keeps a slice against the contract, or changes the batch.
type keeper struct {
	pdu    []byte
	modify bool
}

func (k *keeper) Write(_ context.Context, batch []event.Event) error {
	k.pdu = batch[0].PDU
	if k.modify {
		batch[0].PDU[0] = 'x'
	}
	return nil
}

func TestTrash(t *testing.T) {
	batch := []event.Event{{Kind: event.KindRoute, PDU: []byte("pdu"), Marks: []event.Mark{1}, Stats: []event.Stat{{Raw: []byte{1}}}}}
	k := &keeper{}
	if err := eventtest.Trash(k).Write(context.Background(), batch); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(k.pdu, batch[0].PDU) || string(batch[0].PDU) != "pdu" || batch[0].Marks[0] != 1 || batch[0].Stats[0].Raw[0] != 1 {
		t.Errorf("kept %q, the caller has %q", k.pdu, batch[0].PDU)
	}
	defer func() {
		if recover() == nil {
			t.Error("a modified batch went unnoticed")
		}
	}()
	k.modify = true
	_ = eventtest.Trash(k).Write(context.Background(), batch)
}
