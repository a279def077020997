package resource

import "time"

// An EventRule is a rule of an account's default event bus. Its key is its ARN.
// service/events writes it.
type EventRule struct {
	Home
	ARN         string
	Name        string
	Pattern     string // JSON
	Description string
	Disabled    bool
	Created     time.Time
	Targets     []EventTarget
	Tags        Tags
}

// An EventTarget is where a rule sends the events that match.
type EventTarget struct {
	ID            string
	ARN           string // of a queue
	Input         string // what is sent instead of the event; JSON
	InputPath     string // the part of the event that is sent
	InputPaths    map[string]string
	InputTemplate string
	DeadLetter    string // ARN of the queue for what could not be delivered
}

// An Event is what EventBridge's buses carry. It is no record.
type Event struct {
	Home
	ID         string
	Source     string // aws.ec2
	DetailType string
	Time       time.Time
	Resources  []string // ARNs
	Detail     string   // JSON
}
