package native

import (
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/valyala/fasthttp"

	"github.com/troupe-storage/troupe/actors"
	"github.com/troupe-storage/troupe/api"
	"github.com/troupe-storage/troupe/messages"
	"github.com/troupe-storage/troupe/objects/errs"
)

// jobTime bounds the wait for an answer of the coordinator of jobs, which waits
// for nothing but a document to be durable.
const jobTime = 30 * time.Second

// maxJobBody bounds the body of a request about jobs, in bytes.
const maxJobBody = 1 << 20

// jobs answers requests about jobs by asking their coordinator.
type jobs struct {
	system      *actors.System
	coordinator *actor.PID
}

// JobRoutes are the routes under api.JobsPath, answered by the coordinator of jobs.
func JobRoutes(system *actors.System, coordinator *actor.PID) []Route {
	j := &jobs{system, coordinator}
	return []Route{{Path: api.JobsPath, Guard: Control, Handle: j.handle}}
}

func (j *jobs) handle(r *Request) error {
	segments, err := r.Segments()
	switch {
	case err != nil:
		return err
	case len(segments) == 0:
		return Verbs{get: j.list, post: j.start}.Handle(r)
	case len(segments) == 1:
		id := segments[0]
		return Verbs{
			get:  func(r *Request) error { return j.show(r, id) },
			post: func(r *Request) error { return j.act(r, id) },
		}.Handle(r)
	default:
		return Refuse(fasthttp.StatusBadRequest, "", "invalid URL path %q: a job is %s/ID", r.Path(), api.JobsPath)
	}
}

func (j *jobs) list(r *Request) error {
	const op errs.Op = "native.ListJobs"
	active, err := r.Flag("active")
	if err != nil {
		return err
	}
	m := &messages.ListJobs{Kind: r.Query("kind"), Bucket: r.Query("bucket"), Active: active, Reply: messages.NewReply[[]*messages.Job]()}
	j.system.Root().Send(j.coordinator, m)
	kinds := &messages.ListJobKinds{Reply: messages.NewReply[[]messages.JobKind]()}
	j.system.Root().Send(j.coordinator, kinds)
	list, err := m.Reply.WaitOn(j.system.Clock(), op, jobTime)
	if err != nil {
		return err
	}
	known, err := kinds.Reply.WaitOn(j.system.Clock(), op, jobTime)
	if err != nil {
		return err
	}
	answer := api.Jobs{Jobs: make([]api.Job, len(list)), Kinds: make([]api.JobKind, len(known))}
	for i, job := range list {
		answer.Jobs[i] = jobOf(job)
	}
	for i, k := range known {
		answer.Kinds[i] = api.JobKind(k)
	}
	return r.JSON(answer)
}

func (j *jobs) start(r *Request) error {
	var body api.StartJob
	if err := r.Decode(maxJobBody, &body); err != nil {
		return err
	}
	m := &messages.StartJob{Kind: body.Kind, Parameters: body.Parameters, Reply: messages.NewReply[*messages.Job]()}
	if body.Rate != nil {
		m.Rate = messages.JobRate(*body.Rate)
	}
	return j.ask(r, "native.StartJob", m, m.Reply)
}

func (j *jobs) act(r *Request, id string) error {
	var body api.JobAction
	if err := r.Decode(maxJobBody, &body); err != nil {
		return err
	}
	reply := messages.NewReply[*messages.Job]()
	var m any
	switch body.Action {
	case api.JobPause:
		m = &messages.PauseJob{ID: id, Reply: reply}
	case api.JobResume:
		m = &messages.ResumeJob{ID: id, Reply: reply}
	case api.JobStop:
		m = &messages.StopJob{ID: id, Reply: reply}
	case api.JobStart:
		m = &messages.RestartJob{ID: id, Reply: reply}
	case api.JobLimit:
		limit := &messages.LimitJob{ID: id, Reply: reply}
		if body.Rate != nil {
			limit.Rate = messages.JobRate(*body.Rate)
		}
		m = limit
	default:
		return Refuse(fasthttp.StatusBadRequest, "", "action %q: it is one of %s", body.Action,
			strings.Join([]string{api.JobPause, api.JobResume, api.JobStop, api.JobStart, api.JobLimit}, ", "))
	}
	if body.Rate != nil && body.Action != api.JobLimit {
		return Refuse(fasthttp.StatusBadRequest, "", "action %q takes no rate; %s does", body.Action, api.JobLimit)
	}
	return j.ask(r, "native.JobAction", m, reply)
}

// show answers a job as it is, or with ?wait=30s when it has ended.
func (j *jobs) show(r *Request, id string) error {
	reply := messages.NewReply[*messages.Job]()
	text := r.Query("wait")
	if text == "" {
		return j.ask(r, "native.GetJob", &messages.GetJob{ID: id, Reply: reply}, reply)
	}
	within, err := time.ParseDuration(text)
	if err != nil || within < 0 {
		return Refuse(fasthttp.StatusBadRequest, "", "query parameter wait=%q is not a duration such as 30s or 5m", text)
	}
	within = min(within, messages.MaxJobWait)
	j.system.Root().Send(j.coordinator, &messages.WaitJob{ID: id, Within: within, Reply: reply})
	select {
	case answer := <-reply:
		if answer.Err != nil {
			return answer.Err
		}
		return r.JSON(jobOf(answer.Value))
	case <-r.HTTP().Done(): // the listener ends, and would wait for this
		return errs.E("native.WaitJob", id, errs.Busy)
	}
}

// ask sends a request about a job and answers with the job.
func (j *jobs) ask(r *Request, op errs.Op, m any, reply messages.Reply[*messages.Job]) error {
	j.system.Root().Send(j.coordinator, m)
	job, err := reply.WaitOn(j.system.Clock(), op, jobTime)
	if err != nil {
		return err
	}
	return r.JSON(jobOf(job))
}

// jobOf writes a job as clients read it.
func jobOf(m *messages.Job) api.Job {
	job := api.Job{
		ID: m.ID, Kind: m.Kind, Bucket: m.Bucket, Parameters: m.Parameters, State: string(m.State), Error: m.Err,
		Created: m.Created, Runs: m.Runs, Idle: m.Idle,
		Progress: api.JobProgress{
			Objects: m.Progress.Objects, Bytes: m.Progress.Bytes, TotalObjects: m.Progress.TotalObjects,
			TotalBytes: m.Progress.TotalBytes, Errors: m.Progress.Errors,
			ObjectsPerSecond: m.Progress.ObjectsPerSecond, BytesPerSecond: m.Progress.BytesPerSecond,
		},
	}
	if m.Rate != (messages.JobRate{}) {
		limit := api.JobRate(m.Rate)
		job.Rate = &limit
	}
	if !m.Started.IsZero() {
		job.Started = &m.Started
	}
	if !m.Ended.IsZero() {
		job.Ended = &m.Ended
	}
	for _, f := range m.Progress.Failures {
		job.Progress.Failures = append(job.Progress.Failures, api.JobFailure{Name: f.Name, Error: f.Err})
	}
	return job
}
