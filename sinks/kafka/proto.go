package kafka

import "github.com/ribtap/ribtap/event"

// protoFormat has one record for each event.
type protoFormat struct {
	keys  *keys
	enc   event.ProtoEncoder
	value []byte
}

func (f *protoFormat) append(e *event.Event, out *builder) {
	f.value = f.enc.Append(f.value[:0], e)
	out.emit(0, f.keys.of(e.Router), f.value)
}
