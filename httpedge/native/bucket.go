package native

import (
	"encoding/json"

	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/errs"
)

// actionBytes bounds the body of a control request.
const actionBytes = 1 << 20

// action is AIStore's action message.
type action struct {
	Action string          `json:"action"`
	Name   string          `json:"name"`
	Value  json.RawMessage `json:"value"`
}

// props is the value of the action set-bprops, as far as it is known here.
type props struct {
	Troupe *struct {
		Durability      *objects.Durability `json:"durability"`
		ETag            *objects.ETagKind   `json:"etag"`
		ValidateWarmGet *bool               `json:"validate_warm_get"`
	} `json:"troupe"`
}

// setBucketProps changes the properties of a bucket.
func setBucketProps(r *Request) error {
	const op errs.Op = "native.SetBucketProps"
	name := r.Rest()
	var message action
	var value props
	if err := r.Decode(actionBytes, &message); err != nil {
		return err
	}
	if message.Action != "set-bprops" {
		return Refuse(fasthttp.StatusBadRequest, "", "invalid action %q", message.Action)
	}
	if err := json.Unmarshal(message.Value, &value); err != nil {
		return errs.E(op, name, errs.Invalid, err)
	}
	doc, err := r.h.Gateway.Bucket(name)
	if err != nil {
		return err
	}
	next := doc.Props
	if t := value.Troupe; t != nil {
		if t.Durability != nil {
			next.Durability = *t.Durability
		}
		if t.ETag != nil {
			next.ETag = *t.ETag
		}
		if t.ValidateWarmGet != nil {
			next.ValidateWarmGet = *t.ValidateWarmGet
		}
	}
	if err := next.Check(); err != nil {
		return errs.E(op, name, errs.Invalid, err)
	}
	_, err = r.h.Gateway.SetBucketProps(r.Context(), name, next)
	return err
}
