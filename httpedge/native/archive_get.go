package native

import (
	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/httpedge/gateway"
	"github.com/troupe-storage/troupe/objects"
	"github.com/troupe-storage/troupe/objects/archive"
	"github.com/troupe-storage/troupe/objects/errs"
)

// The parameters of a GET that ask for members of a shard.
const (
	parameterMember  = "archpath" // name of one member
	parameterPattern = "archregx" // what chooses members
	parameterMode    = "archmode" // and how
	parameterMIME    = "archmime" // the format of the shard, whatever its name says
)

// inside is what a GET asks for of the members of a shard.
type inside struct {
	member  string // by name; empty: by pattern
	pattern archive.Pattern
	text    string // of the pattern
	mime    string // empty: the shard's name says it, or its first bytes
}

// inside reads what is asked for of the members of a shard; nil: the object itself is. The
// package sends parameters that it does not use, empty.
func (r *Request) inside() (*inside, error) {
	asked := &inside{member: r.Query(parameterMember), text: r.Query(parameterPattern), mime: r.Query(parameterMIME)}
	mode := r.Query(parameterMode)
	switch {
	case asked.member != "" && asked.text != "":
		return nil, Refuse(fasthttp.StatusBadRequest, "", "%s and %s cannot be given together", parameterMember, parameterPattern)
	case asked.member != "":
		if mode != "" {
			return nil, Refuse(fasthttp.StatusBadRequest, "", "%s=%q goes with %s, and not with %s", parameterMode, mode, parameterPattern, parameterMember)
		}
	case asked.text != "":
		var err error
		if asked.pattern, err = archive.NewPattern(modeOf(mode), asked.text); err != nil {
			return nil, err
		}
	case mode != "":
		return nil, Refuse(fasthttp.StatusBadRequest, "", "%s=%q goes with %s, which is not given", parameterMode, mode, parameterPattern)
	default:
		return nil, nil // archmime alone says nothing
	}
	if asked.mime != "" {
		if _, err := archive.OfMIME(asked.mime); err != nil {
			return nil, err
		}
	}
	return asked, nil
}

// modeOf is the mode of a pattern: a regular expression if nothing is said.
func modeOf(mode string) archive.Mode {
	if mode == "" {
		return archive.Regexp
	}
	return archive.Mode(mode)
}

// getMembers sends one member of a shard, or a range of it, or a tar of those that a pattern
// chooses.
func (r *Request) getMembers(t target, doc *objects.BucketDoc, asked *inside) error {
	if asked.member == "" && r.Header("Range") != "" {
		return notImplemented("a range of several members (" + parameterPattern + ")")
	}
	shard, err := r.h.Gateway.OpenShard(r.Context(), doc, t.name, asked.mime)
	if err != nil {
		return explain(err, t)
	}
	sent := false
	defer func() {
		if !sent {
			shard.Close()
		}
	}()
	if asked.member == "" {
		err = shard.SendMatching(r.ctx, asked.pattern)
		if errs.Is(errs.NotFound, err) {
			return Refuse(fasthttp.StatusNotFound, typeNotFound, "%s has no member that %s %q chooses", t, modeOf(r.Query(parameterMode)), asked.text)
		}
		if err == nil {
			sent = true
			r.ctx.SetContentType(archive.Tar.ContentType())
		}
		return err
	}
	return r.sendMember(t, shard, asked.member, &sent)
}

func (r *Request) sendMember(t target, shard *gateway.Shard, name string, sent *bool) error {
	member, err := shard.Member(name)
	if errs.Is(errs.NotFound, err) {
		return Refuse(fasthttp.StatusNotFound, typeNotFound, "%s/%s does not exist", t, name)
	}
	if err != nil {
		return err
	}
	offset, length, err := r.byteRange(member.Size)
	if err != nil {
		return err
	}
	r.ctx.SetContentType("application/octet-stream")
	if err := shard.Send(r.ctx, offset, length); err != nil {
		return err
	}
	*sent = true
	return nil
}
