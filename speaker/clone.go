package speaker

import "slices"

// clone returns a copy that shares nothing with c.
func (c *Config) clone() *Config {
	out := *c
	out.Listen = slices.Clone(c.Listen)
	out.Peers = slices.Clone(c.Peers)
	for i := range out.Peers {
		p := &out.Peers[i]
		p.Families, p.AO, p.Role = slices.Clone(p.Families), slices.Clone(p.AO), clonePointer(p.Role)
		p.MaxPrefixes, p.Announce = slices.Clone(p.MaxPrefixes), slices.Clone(p.Announce)
		p.RemoteASN.list = slices.Clone(p.RemoteASN.list)
		for j := range p.Announce {
			a := &p.Announce[j]
			a.ASPath, a.Communities = slices.Clone(a.ASPath), slices.Clone(a.Communities)
			a.LargeCommunities, a.ExtendedCommunities = slices.Clone(a.LargeCommunities), slices.Clone(a.ExtendedCommunities)
			a.MED, a.LocalPref, a.Beacon = clonePointer(a.MED), clonePointer(a.LocalPref), clonePointer(a.Beacon)
		}
	}
	return &out
}

func clonePointer[T any](p *T) *T {
	if p == nil {
		return nil
	}
	return new(*p)
}
