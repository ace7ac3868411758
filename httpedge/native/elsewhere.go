package native

import (
	"github.com/troupe-storage/troupe/httpedge/intra"
	"github.com/troupe-storage/troupe/objects"
)

// keyed returns the key that a request is about, for whoever is in charge of it: of a
// copy, what is to be made. Ok is false where there is none; the operation says why.
func (r *Request) keyed() (bucket *objects.BucketDoc, name string, ok bool) {
	t, err := r.object()
	if err == nil && r.method == put && r.Query("object_to") != "" {
		t, err = parseUname("object_to", r.Query("object_to"))
	}
	if err != nil {
		return nil, "", false
	}
	doc, err := r.find(t.bucket)
	return doc, t.name, err == nil
}

// elsewhere has a request about a key that another node is in charge of answered
// there, and reports whether it is answered. A client is sent to that node; one that
// was sent here already, by a node with another map, is relayed, so that it is not
// sent in circles.
func (r *Request) elsewhere() (answered bool, err error) {
	road := r.h.Relay
	if road == nil {
		return false, nil
	}
	doc, name, ok := r.keyed()
	if !ok {
		return false, nil
	}
	if !r.wasSent() {
		if answered, err = road.Redirect(r.ctx, doc, name, r.redirectTarget()); answered || err != nil {
			if answered {
				r.drain() // so that a client that has begun to send its body reads where to
			}
			return answered, err
		}
	}
	return road.Relay(r.ctx, doc, name, r.id)
}

// judgeElsewhere is elsewhere by the head alone: a client is sent on before it sends
// its body, and a relayed request that this node must refuse is refused.
func (r *Request) judgeElsewhere() (answered bool, err error) {
	road := r.h.Relay
	if road == nil {
		return false, nil
	}
	doc, name, ok := r.keyed()
	if !ok {
		return false, nil
	}
	if answered, err = road.Judge(r.ctx, doc, name); answered || err != nil || intra.Of(r.ctx) != nil || r.wasSent() {
		return answered, err
	}
	return road.Redirect(r.ctx, doc, name, r.redirectTarget())
}

// wasSent reports whether another node sent the client here.
func (r *Request) wasSent() bool { return r.Query(parameterGateway) != "" }
