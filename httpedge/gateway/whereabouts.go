package gateway

import (
	"slices"

	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects"
)

// Whereabouts are where a key is by the cluster map, whether there is an object or not.
type Whereabouts struct {
	InCharge string   // the node in charge; empty: none is, or the node is alone
	Others   []string // further owners that are not away, in their order
	Here     bool     // this node is in charge, or alone
}

// Whereabouts returns where a key is by the map as it is now. Nobody is asked.
func (g *Gateway) Whereabouts(bucket *objects.BucketDoc, name string) Whereabouts {
	set := g.nodes()
	if set == nil || set.Map == nil {
		return Whereabouts{Here: true}
	}
	view := set.Map.View(messages.Placing(bucket, objects.Key{Bucket: bucket.Bucket, Name: name}.Digest()))
	w := Whereabouts{InCharge: string(view.InCharge), Here: string(view.InCharge) == set.Self}
	for _, id := range view.Owners {
		if id != view.InCharge && slices.Contains(view.AckSet, id) { // those that are away are not in it
			w.Others = append(w.Others, string(id))
		}
	}
	return w
}
